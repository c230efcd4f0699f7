"""Random damage to every stored file gives a clean problem or the same numbers; never a traceback, never another number
without a word.

A share of it here; `LESION_BENCHMARKS_MUTATIONS=10000 python -m pytest tests/test_mutations.py` for all of it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reports.check.accepted import accept
from reports.check.check import check
from reports.comparison.findings import Findings
from reports.evidence import load_everything
from reports.formats import EXPORTS
from reports.formats.contents import Contents
from results import files, leakage, profiles
from results.cell import FAILED
from results.errors import Damaged, Problem, RequestError
from results.runs import Stored, load_runs
from results.schema import GivenUp
from tests import fake_runs
from tests.mutations import damages

MUTATIONS = int(os.environ.get("LESION_BENCHMARKS_MUTATIONS", "120"))
CHECKED, RENDERED = MUTATIONS // 6, MUTATIONS // 15  # they take ten and thirty times as long
PHASES = (Phase.generate, Phase.shrink)
FIXED = {"deadline": None, "derandomize": True, "database": None, "report_multiple_bugs": False, "phases": PHASES}
NOT_MISSED = ("report.json", "failed.json", "quiet-box.json")  # a cell without the first two is one to do
TEXTS = ("md", "latex", "csv", "html")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder with one file of each kind at least, of runs as they are written today."""
    place = tmp_path_factory.mktemp("stored")
    fake_runs.write_suite(place, {"unet": 0.8, "aulunet_v3": 0.9}, seeds=2, images=6, masks=1)
    for folder in place.glob("runs/*/*/*/seed-*"):
        (folder / "weights.safetensors").write_bytes(folder.as_posix().encode())
        fake_runs.seal_run(folder)
    failed = fake_runs.write_failure(place, "malunet", 1)
    GivenUp(epoch=17, reason="the loss is not finite", files={}).sealed().write(failed / FAILED)
    fake_runs.write_complexity(place)
    fake_runs.write_profile(place)
    for name in (leakage.PAIRS_FILE, leakage.SHARED_FILE):
        shutil.copy(files.HOME / name, place)
    accept(load_everything(place).runs, place / "accepted.csv")
    with pytest.MonkeyPatch.context() as patch:
        fake_runs.copy_published(place / "published", patch)
        yield place


def of(root: Path, pattern: str) -> dict[Path, bytes]:
    """The files of a pattern below the root, whole."""
    found = {path: path.read_bytes() for path in root.glob(pattern) if path.is_file()}
    assert found
    return found


class Damage:
    """A damaged file within a block, whole again afterwards."""

    def __init__(self, path: Path, content: bytes | None, whole: bytes) -> None:
        self.path, self.content, self.whole = path, content, whole

    def __enter__(self) -> None:
        if self.content is None:
            self.path.unlink()
        else:
            self.path.write_bytes(self.content)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.whole)


@dataclass(frozen=True)
class Read:
    """All that is read of runs, given up seeds and profiles."""

    stored: Stored
    profiles: list[profiles.Profile]
    problems: list[Problem]

    @classmethod
    def of(cls, root: Path) -> "Read":
        stored, read, problems = load_runs(root), [], []
        for path in profiles.found(root):
            try:
                read.append(profiles.Profile.read(path))
            except Damaged as damage:
                problems.append(damage.problem)
        return cls(stored, read, stored.problems + problems)

    @property
    def number(self) -> int:
        """Of what could be read."""
        return len(self.stored.runs) + len(self.stored.failures) + len(self.profiles)

    def text(self) -> str:
        """Every number in it, and every word; the order of keys says nothing."""
        runs = self.stored.runs
        documents = [document for run in runs for document in (run.config, run.report)] + self.profiles
        told = [json.dumps(document.content(), sort_keys=True) for document in documents]
        counts = [(run.cell, run.per_image.to_dict(), run.history().to_csv()) for run in runs]
        return repr((told, counts, self.stored.failures))


def sentences(problems: list[Problem], damaged: Path) -> None:
    """What is wrong is said of the damaged file or of what belongs to it, and in one line each."""
    for problem in problems:
        beside = problem.path.parent == damaged.parent or damaged.is_relative_to(problem.path)
        named = damaged.name == "complexity.csv" and "no network is called" in problem.message
        assert beside or named, str(problem)
        assert problem.message
        assert problem.cure
        assert not re.search(r"[\n\r\0]|Traceback|0x[0-9a-f]{6}", str(problem)), str(problem)
        assert len(str(problem)) < 1000
        str(problem).encode()


def test_another_number_is_never_read_without_a_word(root: Path) -> None:
    """Of runs, given up seeds and profiles, which are sealed; one bad file costs one row."""
    whole = of(root, "runs/**/*") | of(root, "profiles/*.json")
    before, asked, said = Read.of(root), set(), []
    known = before.text()
    assert (before.problems, before.number) == ([], 6)

    @settings(max_examples=MUTATIONS, **FIXED)
    @given(damages(whole))
    def holds(damage: tuple[Path, bytes | None]) -> None:
        path, content = damage
        with Damage(path, content, whole[path]):
            found = Read.of(root)
            sentences(found.problems, path)
            if not found.problems and (content is not None or path.name not in NOT_MISSED):
                assert found.text() == known
            assert found.number >= before.number - 1
        asked.add(path.name)
        said.append(bool(found.problems))

    holds()
    assert asked >= {"config.json", "history.csv", "per_image.csv", "report.json", "failed.json", "quiet-box.json"}
    assert sum(said) > len(said) / 2


def test_tables_that_are_not_sealed_are_read_or_refused_in_a_sentence(root: Path) -> None:
    """Published tables, counts, what data sets share, accepted values: versioned, and some of them typed by people."""
    whole = of(root, "*.csv") | of(root, "published/*.csv")

    @settings(max_examples=CHECKED, **FIXED)
    @given(damages(whole))
    def holds(damage: tuple[Path, bytes | None]) -> None:
        path, content = damage
        with Damage(path, content, whole[path]):
            evidence = load_everything(root)
            sentences(evidence.problems, path)
            assert len(evidence.runs) == 4
            refused = ""
            try:
                check(root, fake_runs.live_counts(), root / "accepted.csv").text()
            except RequestError as error:
                refused = str(error)
            assert not refused or (path.name == "accepted.csv" and refused.startswith(f"{path}"))

    holds()


@pytest.mark.parametrize("sealed", [True, False], ids=["of today", "of earlier versions"])
def test_whatever_is_read_is_rendered(root: Path, sealed: bool, tmp_path: Path) -> None:
    """Runs of earlier versions have no checksums: what is possible there is shown, and what is not is said."""
    place = tmp_path / "results"
    shutil.copytree(root, place)
    if not sealed:
        for folder in place.glob("runs/*/*/*/seed-*"):
            if (folder / "report.json").exists():
                fake_runs.as_before_identities(folder)
    whole = of(place, "runs/**/*") | of(place, "profiles/*.json") | of(place, "*.csv")

    @settings(max_examples=RENDERED, **FIXED)
    @given(damages(whole), st.sampled_from(TEXTS))
    def holds(damage: tuple[Path, bytes | None], form: str) -> None:
        path, content = damage
        with Damage(path, content, whole[path]):
            findings = Findings.load(place)
            sentences(findings.evidence.problems, path)
            for made in EXPORTS[form](Contents(findings)).values():
                assert made
            assert check(place).junit()

    holds()
