"""The parts of a data set on the device know which images they hold."""

import numpy as np
import pytest
import torch

from benchmarks import datasets
from benchmarks.protocol.recipe import RECIPES
from benchmarks.runner.evaluate import score
from benchmarks.training.batches import ImageStore
from benchmarks.training.data import Data
from benchmarks.training.replicas import Replicas
from results.probabilities import counts_at

CPU = torch.device("cpu")
IMAGES, MASKS = np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 32, 32), np.uint8)


@pytest.mark.parametrize("rule", ["paper", "sorted"])
def test_each_part_holds_the_images_of_its_ids(tmp_path, monkeypatch, rule):
    monkeypatch.setenv("LESION_BENCHMARKS_CACHE", str(tmp_path))
    prepared = datasets.load("synthetic", 8)
    data, split = Data.of(prepared, rule, CPU), prepared.split(rule)
    assert (data.fingerprint, data.rule) == (prepared.fingerprint, rule)
    for part, rows in ((data.train, split.train), (data.validation, split.validation), (data.test, split.test)):
        assert part.ids == tuple(prepared.ids[row] for row in rows)
        assert np.array_equal(part.images.numpy().reshape(-1, 8, 8, 3), prepared.images[rows])
        assert np.array_equal(part.masks.numpy().reshape(-1, 8, 8), prepared.masks[rows])
    assert prepared.split(rule) is split, "it was cut again"
    with pytest.raises(ValueError, match="read-only"):
        split.test[0] = 0


def test_ids_are_as_many_as_images():
    assert ImageStore(IMAGES, MASKS, CPU, ids=["a", "b"]).ids == ("a", "b")
    with pytest.raises(ValueError, match="3 ids for 2 images"):
        ImageStore(IMAGES, MASKS, CPU, ids=["a", "b", "c"])


def test_images_without_their_ids_are_not_scored():
    replicas = Replicas("aulunet_v3", (1,), RECIPES["quick"].changed(size=32), CPU)
    with pytest.raises(ValueError, match="2 images without their ids cannot be scored"):
        score(replicas, ImageStore(IMAGES, MASKS, CPU))
    scores = score(replicas, ImageStore(IMAGES, MASKS, CPU, ids=["a", "b"]))
    assert scores.ids == ("a", "b")
    assert scores.counts.shape == (1, 2, 4)
    assert scores.masks.shape == (1, 2, 32, 32)
    assert np.array_equal(counts_at(scores.spread, 0.5), scores.counts)
