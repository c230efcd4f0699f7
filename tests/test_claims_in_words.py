"""The paper's claims in words: typed once, judged by published numbers and by what was measured."""

from pathlib import Path

import pytest

from reports.comparison.claims import ClaimVerdict, judged
from reports.comparison.findings import Findings
from results.errors import Damaged
from results.published import Claims
from tests import fake_runs

PAIRS = ("aulunet_d13", "aulunet_d24", "aulunet_d15", "aulunet_d17", "aulunet_d35")


def verdicts(root: Path, recipe: str = "paper") -> dict[str, ClaimVerdict]:
    return {each.claim.name: each.measured[recipe].verdict for each in judged(Findings.load(root))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fake_runs.write_complexity(tmp_path)
    return tmp_path


def test_published_numbers_support_what_the_paper_says_of_them(root: Path) -> None:
    found = {each.claim.name: each.published for each in judged(Findings.load(root))}
    assert {each.verdict for each in found.values()} == {ClaimVerdict.SUPPORTED}
    assert found["v3_isic2018"].words == "ahead of 11 of 11"
    assert found["fewer_parameters"].words == "99.63 % fewer (0.029 M against 7.773 M)"


def test_counts_need_no_training(root: Path) -> None:
    found = verdicts(root)
    assert found.pop("fewer_parameters") is ClaimVerdict.SUPPORTED
    assert set(found.values()) == {ClaimVerdict.NOT_MEASURED}


@pytest.mark.parametrize(
    ("skill", "measured", "verdict"),
    [
        (0.98, PAIRS, ClaimVerdict.SUPPORTED),
        (0.98, PAIRS[:3], ClaimVerdict.PARTLY),
        (0.85, PAIRS, ClaimVerdict.NOT_SEPARATED),
        (0.6, PAIRS, ClaimVerdict.CONTRADICTED),
    ],
)
def test_a_claim_over_several_networks(root: Path, skill: float, measured, verdict: ClaimVerdict) -> None:
    fake_runs.write_suite(root, dict.fromkeys(measured, 0.85) | {"aulunet_v3": skill}, seeds=3)
    found = next(each for each in judged(Findings.load(root)) if each.claim.name == "best_pair")
    assert found.measured["paper"].verdict is verdict
    if len(measured) < len(PAIRS):
        assert "3 of 5 measured" in found.measured["paper"].words


def test_too_few_seeds_are_no_verdict(root: Path) -> None:
    fake_runs.write_suite(root, {"aulunet_m4": 0.7, "aulunet_v3": 0.95}, seeds=2, recipe="half")
    assert verdicts(root, "half")["lsg_helps"] is ClaimVerdict.TOO_FEW_SEEDS


def test_chance_is_shared_over_the_differences_of_a_claim(root: Path) -> None:
    """Holm's correction: p in the words is that of all comparisons that the claim makes."""
    fake_runs.write_suite(root, {"aulunet_v1": 0.85, "aulunet_v2": 0.85, "aulunet_v3": 0.9}, seeds=3)
    findings = Findings.load(root)
    found = next(each for each in judged(findings) if each.claim.name == "v3_variants_isic2018")
    assert found.measured["paper"].words.startswith("2 of 2 ahead beyond chance; AULUNet-v1 +")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("aulunet_v1 aulunet_v2", "aulunet_v9", "names no network"),
        (",99.63,", ",many,", "the value of fewer_parameters is 'many'"),
        (",better,", ",nicer,", "kind is 'nicer'"),
    ],
)
def test_a_mistyped_claim_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(Claims.path().read_text().replace(old, new, 1))
    with pytest.raises(Damaged, match=said):
        Claims.read(path)
