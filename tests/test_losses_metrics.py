"""Losses, objectives and metrics against independent implementations."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from scipy import ndimage
from skimage import metrics as skimage_metrics

from benchmarks.objectives import losses
from benchmarks.training.pixel_counts import counts
from results.metrics import METRICS, per_image_mean, pooled


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and truth (8, 1, 16, 16): random ones, then every pairing of empty and full."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 1, 16, 16, generator=generator)
    truth = torch.rand(8, 1, 16, 16, generator=generator) > 0.6
    for k, (predicted, true) in enumerate([(-1, False), (-1, True), (1, False), (1, True)]):
        logits[k], truth[k] = predicted, true
    return logits, truth


def test_counts_and_metrics_equal_segmentation_models_pytorch():
    logits, truth = masks()
    ours = counts(logits, truth)
    theirs = smp.metrics.get_stats(logits.sigmoid(), truth.long(), mode="binary", threshold=0.5)
    assert torch.equal(ours, torch.cat(theirs, dim=1))
    functions = {
        "iou": smp.metrics.iou_score,
        "dsc": smp.metrics.f1_score,
        "acc": smp.metrics.accuracy,
        "spe": smp.metrics.specificity,
        "sen": smp.metrics.sensitivity,
    }
    for name, function in functions.items():
        assert pooled(ours.numpy())[name] == pytest.approx(function(*theirs, reduction="micro").item(), abs=1e-6)
        mean = function(*theirs, reduction="micro-imagewise").item()
        assert per_image_mean(ours.numpy())[name] == pytest.approx(mean, abs=1e-6)


def test_pooled_metrics_equal_scikit_image():
    logits, truth = masks()
    total = counts(logits, truth).numpy()
    predicted = (logits >= 0).long().flatten().numpy()
    matrix = skimage_metrics.contingency_table(truth.long().flatten().numpy(), predicted, normalize=False).toarray()
    (tn, fp), (fn, tp) = matrix
    assert total.sum(axis=0).tolist() == [tp, fp, fn, tn]
    assert pooled(total)["iou"] == pytest.approx(tp / (tp + fp + fn))


def test_dsc_follows_from_iou():
    values = pooled(counts(*masks()).numpy())
    assert values["dsc"] == pytest.approx(2 * values["iou"] / (1 + values["iou"]))


def test_a_pixel_at_exactly_one_half_counts_as_lesion():
    assert counts(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool)).tolist() == [[4, 0, 0, 0]]


def test_counts_of_stacked_replicas_are_those_of_each():
    """(R, B, 1, H, W) logits with one truth for all, H and W unlike."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 2, 1, 5, 7, generator=generator)
    truth = torch.rand(2, 1, 5, 7, generator=generator) > 0.6
    assert torch.equal(counts(logits, truth), torch.stack([counts(each, truth) for each in logits]))
    assert counts(logits, truth).shape == (3, 2, 4)
    assert (counts(logits, truth).sum(dim=-1) == 35).all()


def test_every_metric_is_one_for_a_perfect_prediction():
    assert [float(metric(np.array([5, 0, 0, 7]))) for metric in METRICS] == [1.0] * len(METRICS)


def test_bce_dice_equals_its_formula_in_numpy():
    logits, truth = masks()
    soft = truth.double() * 0.8 + 0.1
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    t = soft.numpy()
    cross_entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    overlap = 2 * (p * t).sum(axis=(1, 2, 3)) + 1
    dice = (1 - overlap / (p.sum(axis=(1, 2, 3)) + t.sum(axis=(1, 2, 3)) + 1)).mean()
    assert losses.bce_dice(logits.double(), soft).item() == pytest.approx(cross_entropy + dice, rel=1e-12)


def test_each_image_has_a_loss_of_its_own():
    logits, truth = masks()
    per_image = losses.bce_dice_per_image(logits, truth.float())
    assert per_image.shape == (8,)
    alone = [losses.bce_dice(logits[k : k + 1], truth[k : k + 1].float()) for k in range(8)]
    torch.testing.assert_close(per_image, torch.stack(alone))
    assert per_image.std() > 0.1


def test_a_logarithm_is_at_least_minus_100_and_a_rounded_sigmoid_has_no_gradient():
    """The limits of PyTorch's `BCELoss`, at both ends."""
    logits = torch.tensor([[[[60.0, -900.0]]], [[[-900.0, 60.0]]]], dtype=torch.float64, requires_grad=True)
    loss = losses.bce(logits.sigmoid(), torch.tensor([[[[0.0, 1.0]]], [[[0.0, 1.0]]]], dtype=torch.float64))
    assert loss.tolist() == [100.0, 0.0]
    loss.sum().backward()
    assert not logits.grad.any()


def test_not_a_number_is_in_the_loss_of_its_own_image_alone():
    probabilities = torch.full((3, 1, 2, 2), 0.25)
    probabilities[1, 0, 1, 0] = torch.nan
    assert losses.bce(probabilities, torch.ones(3, 1, 2, 2)).isnan().tolist() == [False, True, False]


def test_a_soft_mask_is_inside_from_one_half():
    masks = torch.tensor([[[[0.49, 0.5, 0.51]]]]).expand(1, 1, 5, 3)
    assert losses.inner_boundary(masks)[0, 0].tolist() == [[0, 1, 1]] * 5


def test_inner_boundary_is_mask_minus_its_erosion_by_the_diamond():
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.standard_normal((3, 40, 40)), (0, 4, 4)) > 0
    diamond = ndimage.generate_binary_structure(2, 1)
    eroded = [ndimage.binary_erosion(blob, diamond, iterations=2, border_value=1) for blob in blobs]
    ours = losses.inner_boundary(torch.from_numpy(blobs).double().unsqueeze(1))
    np.testing.assert_array_equal(ours[:, 0].numpy(), blobs & ~np.array(eroded))


def test_objectives_weigh_their_terms_as_the_sheets_say():
    """Outputs chosen so that each term's loss is known: the weights are then read off by finite differences."""
    target = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    target[..., 2:6, 2:6] = 1
    base = torch.full_like(target, 0.3).requires_grad_()
    sides = [torch.full_like(target, 0.3).requires_grad_() for _ in range(5)]
    edges = [torch.full_like(target, 0.6).requires_grad_() for _ in range(3)]
    draws = torch.zeros(losses.DRAWS)
    images = torch.rand(1, 3, 8, 8)

    def outputs(given: torch.Tensor) -> tuple:
        assert given is images
        return base, sides

    losses.deep_supervision(outputs, images, target, draws).backward()
    ratios = [(side.grad / base.grad).mean().item() for side in sides]
    assert ratios == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    loss = losses.boundary_supervision(lambda given: (*outputs(given), edges), images, target, draws)
    p = base.detach().sigmoid()
    bce = losses.bce(p, target).item()
    dice = losses.dice(p, target).item()
    edge = losses.inner_boundary(target)
    edge_bce = torch.nn.functional.binary_cross_entropy(edges[0], edge).item()
    edge_loss = 0.5 * edge_bce + losses.dice(edges[0], edge).item()
    expected = bce + 2 * dice + 1.5 * (0.5 * bce + dice) + 0.6 * edge_loss
    assert loss.item() == pytest.approx(expected)
