"""Checks of counts: published against counted, explanations against contradictions, complexity.csv against the code."""

from collections.abc import Mapping

from reports.check.item import Item, Status
from reports.comparison.findings import Findings
from reports.comparison.join import CountComparison
from reports.comparison.verdict import Verdict
from reports.tables.grid import NOT_COUNTED, NOT_PUBLISHED, thousandths
from results import complexity, published
from results.catalogue import BEYOND
from results.files import own_or_packaged


def count_items(findings: Findings) -> list[Item]:
    """One item per published count; what is explained in contradictions.csv is documented."""
    items = []
    for network, counts in _published_counts(findings).items():
        path = (published.BeyondTable if network in BEYOND else published.Contradictions).path()
        for column, found in counts.items():
            status = {Verdict.REPRODUCED: Status.PASSED, Verdict.NO_CLAIM: Status.SKIPPED}.get(
                found.verdict, Status.FAILED
            )
            status = Status.DOCUMENTED if found.documented else status
            items.append(Item("counts", f"{network} {column}", status, found.reason, path))
    return items


def outdated_items(findings: Findings) -> list[Item]:
    """Explanations of count contradictions that do not exist (any more)."""
    known, path = _published_counts(findings), published.Contradictions.path()
    items = []
    for note in findings.evidence.documented:
        found = known.get(note.network, {}).get(note.column)
        if found is not None and found.counted is not None and found.verdict is not Verdict.CONTRADICTED:
            message = "contradictions.csv explains a contradiction that does not exist: remove its line"
            items.append(Item("files", f"{note.network} {note.column}", Status.FAILED, message, path))
    return items


def staleness_items(findings: Findings, live: Mapping[str, Mapping[str, int]] | None) -> list[Item]:
    """complexity.csv against what the code counts now; nothing without `live`."""
    if live is None:
        return []
    evidence = findings.evidence
    path, items = own_or_packaged(evidence.root, complexity.FILE), []
    for network in dict.fromkeys([*live, *evidence.complexity]):
        now, stored = live.get(network, {}), evidence.complexity.get(network, {})
        moved = [name for name in complexity.COUNTS if name in {*now, *stored} and now.get(name) != stored.get(name)]
        if moved:
            changes = ", ".join(f"{name} {stored.get(name)} -> {now.get(name)}" for name in moved)
            message = f"complexity.csv is out of date ({changes}): run python -m benchmarks count"
            items.append(Item("staleness", network, Status.FAILED, message, path))
    return items or [Item("staleness", "complexity.csv", Status.PASSED, "it is what the code counts now", path)]


def count_lines(findings: Findings) -> list[str]:
    """One line per network: published and counted figures, and the verdict of both."""
    lines = [f"  {'network':<18}{'published':>16}{'counted':>18}  verdict"]
    for network, counts in _published_counts(findings).items():
        params, gflops = counts["params_m"], counts["gflops"]
        claimed = f"{_thousandths(params.published, NOT_PUBLISHED)} / {_thousandths(gflops.published, NOT_PUBLISHED)}"
        counted = f"{_thousandths(params.counted, NOT_COUNTED)} / {_thousandths(gflops.counted, NOT_COUNTED)}"
        words = ", ".join(dict.fromkeys(_word(each) for each in (params, gflops)))
        lines.append(f"  {network:<18}{claimed:>16}{counted:>18}  {words}")
    return lines


def _thousandths(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else thousandths(value)


def _word(found: CountComparison) -> str:
    heading = {"params_m": "parameters", "gflops": "GFLOPs"}[found.column]
    if found.verdict is Verdict.CONTRADICTED:
        return f"{heading} contradicted ({'documented' if found.documented else 'undocumented'})"
    return str(found.verdict)


def _published_counts(findings: Findings) -> dict[str, dict[str, CountComparison]]:
    """network -> its counts, of those of which any was published: the first row's of the tables, then the others'."""
    found: dict[str, dict[str, CountComparison]] = {}
    for row in (row for block in findings.blocks if not block.reference_only for row in block.rows):
        if row.network not in BEYOND and _any_published(row.counts):
            found.setdefault(row.network, row.counts)
    return found | {name: findings.counts[name] for name in BEYOND if _any_published(findings.counts[name])}


def _any_published(counts: Mapping[str, CountComparison]) -> bool:
    return any(each.published is not None for each in counts.values())
