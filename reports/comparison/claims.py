"""What the paper says in words, held against published numbers and against what was measured under each recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reports.comparison.findings import Findings
from reports.comparison.verdict import RECIPE
from reports.statistics.contrasts import ALPHA, ENOUGH_SEEDS, holm
from reports.statistics.estimates import Estimate, of_difference
from results.metrics import metric_named
from results.published import Claim

FEWER = "fewer"
NAMED = 3  # differences that are still given one by one


class ClaimVerdict(StrEnum):
    """What can be said of a claim."""

    SUPPORTED = "supported"
    PARTLY = "partly supported"
    NOT_SEPARATED = "not separated"
    CONTRADICTED = "contradicted"
    TOO_FEW_SEEDS = "too few seeds"
    NOT_MEASURED = "not measured"


MEANING = (
    "Supported: every difference that the claim speaks of is measured, has the claimed sign and is more than chance "
    f"(p below {ALPHA} after Holm's correction over the claim's own differences, at least {ENOUGH_SEEDS} seeds of each "
    "network). Partly supported: some are, and none is more than chance the other way. Not separated: what is measured "
    "can be chance. Contradicted: at least one difference is more than chance the other way."
)


@dataclass(frozen=True)
class Finding:
    """What numbers of one kind say of a claim."""

    verdict: ClaimVerdict
    words: str
    """The statistics behind it; empty where there are none."""


@dataclass(frozen=True)
class Judged:
    """A claim with what is published and what was measured."""

    claim: Claim
    published: Finding
    measured: Mapping[str, Finding]
    """By recipe, the paper's first."""


def judged(findings: Findings) -> list[Judged]:
    """Every claim, in the order of the file; under every recipe that some network of the paper was measured by."""
    recipes = dict.fromkeys((RECIPE, *(block.recipe for block in findings.run_blocks)))
    return [
        Judged(claim, _published(claim, findings), {recipe: _measured(claim, recipe, findings) for recipe in recipes})
        for claim in findings.evidence.claims
    ]


def _published(claim: Claim, findings: Findings) -> Finding:
    """By the paper's own tables, whose means say nothing of chance."""
    if claim.kind == FEWER:
        return _fewer(claim, findings, counted=False)
    own = _printed(claim.network, claim, findings)
    others = {name: _printed(name, claim, findings) for name in claim.against}
    known = {name: value for name, value in others.items() if value is not None}
    if own is None or not known:
        return Finding(ClaimVerdict.NOT_MEASURED, "no numbers published")
    ahead = sum(own > value for value in known.values())
    words = f"ahead of {ahead} of {len(others)}"
    if len(known) < len(others):
        words += f" ({len(others) - len(known)} without a published number)"
    all_ahead = ahead == len(known)
    return Finding(ClaimVerdict.SUPPORTED if all_ahead else ClaimVerdict.CONTRADICTED, words)


def _printed(network: str, claim: Claim, findings: Findings) -> float | None:
    for row in findings.rows:
        found = row.comparisons.get(claim.metric)
        if (row.network, row.dataset) == (network, claim.dataset) and found is not None and found.published is not None:
            return found.published
    return None


def _measured(claim: Claim, recipe: str, findings: Findings) -> Finding:
    if claim.kind == FEWER:
        return _fewer(claim, findings, counted=True)
    block = findings.run_block(claim.dataset, recipe)
    others = [] if block is None else [name for name in claim.against if name in block.networks]
    if block is None or claim.network not in block.networks or not others:
        return Finding(ClaimVerdict.NOT_MEASURED, "")
    samples = block.samples(metric_named(claim.metric))
    found = {name: of_difference(samples[claim.network], samples[name]) for name in others}
    seeds = {name: min(len(block.networks[each]) for each in (claim.network, name)) for name in others}
    tested = [name for name in others if seeds[name] >= ENOUGH_SEEDS]
    corrected = dict(zip(tested, holm([float(found[name].p) for name in tested]), strict=True))
    return _weighed(claim, found, corrected, findings)


def _weighed(
    claim: Claim, found: Mapping[str, Estimate], corrected: Mapping[str, float], findings: Findings
) -> Finding:
    """A verdict from the differences; corrected: p after Holm's correction of those with enough seeds."""
    separated = {name: float(found[name].value) for name, p in corrected.items() if p < ALPHA}
    ahead, behind = (sum(sign * value > 0 for value in separated.values()) for sign in (1, -1))
    words = [f"{ahead} of {len(claim.against)} ahead beyond chance"]
    if behind:
        words.append(f"{behind} behind beyond chance")
    if len(found) < len(claim.against):
        words.append(f"{len(found)} of {len(claim.against)} measured")
    words += [_difference(name, found[name], corrected.get(name), findings) for name in list(found)[:NAMED]]
    return Finding(_verdict(ahead, behind, len(claim.against), bool(corrected)), "; ".join(words))


def _verdict(ahead: int, behind: int, asked: int, tested: bool) -> ClaimVerdict:
    if behind:
        return ClaimVerdict.CONTRADICTED
    if ahead == asked:
        return ClaimVerdict.SUPPORTED
    if ahead:
        return ClaimVerdict.PARTLY
    return ClaimVerdict.NOT_SEPARATED if tested else ClaimVerdict.TOO_FEW_SEEDS


def _difference(name: str, found: Estimate, p: float | None, findings: Findings) -> str:
    """ "MALUNet +1.20 points (0.31 to 2.09, p = 0.012)"."""
    value, low, high = (100 * float(each) for each in (found.value, found.low, found.high))
    chance = "" if p is None else f", p = {p:.2g}"
    return f"{findings.label(name)} {value:+.2f} points ({low:+.2f} to {high:+.2f}{chance})"


def _fewer(claim: Claim, findings: Findings, *, counted: bool) -> Finding:
    """How many percent fewer one network has of something that is counted."""
    values = []
    for network in (claim.network, claim.against[0]):
        found = findings.counts.get(network, {}).get(claim.metric)
        value = None if found is None else found.counted if counted else found.published
        if value is None:
            return Finding(ClaimVerdict.NOT_MEASURED, "")
        values.append(value)
    percent = 100 * (1 - values[0] / values[1])
    same = round(percent, _digits(claim.value)) == float(claim.value)
    words = f"{percent:.{_digits(claim.value)}f} % fewer ({values[0]:.3f} M against {values[1]:.3f} M)"
    return Finding(ClaimVerdict.SUPPORTED if same else ClaimVerdict.CONTRADICTED, words)


def _digits(value: str) -> int:
    return len(value.partition(".")[2])


def tallied(claims: Sequence[Judged], recipe: str) -> str:
    """ "1 is supported, 3 are not separated, 4 are not measured": how many claims got which verdict."""
    times: dict[ClaimVerdict, int] = {}
    for each in claims:
        found = each.measured[recipe].verdict
        times[found] = times.get(found, 0) + 1
    return ", ".join(
        f"{times[word]} {'is' if times[word] == 1 else 'are'} {word}" for word in ClaimVerdict if word in times
    )
