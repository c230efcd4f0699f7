"""The check for CI: counts against the print, measured against published, stored files, and an accepted baseline.

What fails (exit status 1):

* a count that contradicts the print and is not explained in results/published/contradictions.csv, and an explanation
  there of a contradiction that does not exist;
* a metric of a complete row (the paper's recipe, five seeds) outside its tolerance, above or below, that is not
  explained there: who finds one looks into it and types the reason, which makes it documented, never reproduced;
* a seed that was given up, unless a line with the column `seeds` explains it;
* counts in complexity.csv that the code no longer gives; files that cannot be used;
* with a baseline: a stored mean that moved by more than the baseline's own tolerance, or that is gone.

Published pairs of mIoU and DSC that disagree with each other are listed as documented: the fault is not ours.
What is incomplete or not measured is listed and does not fail: it says nothing against the print.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree

from reports.check.accepted import compare_with_baseline
from reports.comparison.join import (
    OUTSIDE,
    RECIPE,
    CountComparison,
    PaperTable,
    Row,
    Tally,
    Verdict,
    load_everything,
    table,
    tally,
)
from reports.comparison.published_pairs import dsc_of, published_pairs
from reports.evidence import COUNT_FIELDS, TABLES, Evidence, complexity_path
from reports.headline import headline
from reports.tables.grid import NOT_COUNTED, NOT_PUBLISHED, percent
from results import published


class Status(StrEnum):
    """How one check ended."""

    PASSED = "passed"
    DOCUMENTED = "documented"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Item:
    """One thing that was checked. `kind` groups items; `path` is the file that a person should open."""

    kind: str
    name: str
    status: Status
    message: str
    path: Path


@dataclass(frozen=True)
class CheckResult:
    """All items, a line per network's counts, how often each verdict was given, and what a newcomer reads first."""

    items: list[Item]
    counts: list[str]
    verdicts: Tally
    headline: list[str]

    @property
    def failures(self) -> list[Item]:
        return [item for item in self.items if item.status is Status.FAILED]

    @property
    def exit_status(self) -> int:
        return 1 if self.failures else 0

    def text(self) -> str:
        """A readable table for the terminal."""
        of = {status: [item for item in self.items if item.status is status] for status in Status}
        passed = [item for item in of[Status.PASSED] if item.kind != "counts"]
        lines = [*self.headline, ""]
        lines += [f"Accuracies (published metrics): {_numbers(self.verdicts.metrics)}"]
        lines += [
            f"Counts (parameters in M / operations in GFLOPs, by the paper's counter): "
            f"{_numbers(self.verdicts.counts)}",
            *self.counts,
            "",
        ]
        lines += [f"Passed, besides counts: {len(passed)}", *map(_line, passed), ""]
        lines += [f"Contradictions with a documented reason: {len(of[Status.DOCUMENTED])}"]
        lines += [*map(_line, of[Status.DOCUMENTED]), ""]
        lines += [f"Failures: {len(self.failures)}", *map(_line, self.failures)]
        return "\n".join(lines)

    def junit(self) -> str:
        """JUnit XML: a suite per kind of item, so that metrics and counts stand apart, and a test case per item.

        What is incomplete or not measured counts as skipped.
        """
        suites = ElementTree.Element("testsuites", _sums("benchmarks check", self.items))
        for kind in dict.fromkeys(item.kind for item in self.items):
            mine = [item for item in self.items if item.kind == kind]
            suite = ElementTree.SubElement(suites, "testsuite", _sums(kind, mine))
            for item in mine:
                _add_case(suite, item)
        ElementTree.indent(suites)
        return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"

    def annotations(self) -> list[str]:
        """GitHub workflow commands: an error for each failure; what is documented needs nobody's attention again."""
        return [
            f"::error file={_property(_relative(item.path))},title={_property(item.name)}::{_escaped(item.message)}"
            for item in self.failures
        ]


def _numbers(verdicts: Mapping[Verdict, int]) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())


def _sums(name: str, items: list[Item]) -> dict[str, str]:
    """The attributes of a JUnit suite."""
    failed = sum(item.status is Status.FAILED for item in items)
    skipped = sum(item.status is Status.SKIPPED for item in items)
    return {"name": name, "tests": str(len(items)), "failures": str(failed), "skipped": str(skipped)}


def _add_case(suite: ElementTree.Element, item: Item) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=item.kind, name=item.name)
    if item.status is Status.FAILED:
        ElementTree.SubElement(case, "failure", message=item.message).text = str(item.path)
    elif item.status is Status.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=item.message)
    else:
        ElementTree.SubElement(case, "system-out").text = f"{item.status}: {item.message}"


def _line(item: Item) -> str:
    return f"  {item.name}: {item.message}"


def _relative(path: Path) -> str:
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return (path.relative_to(Path.cwd()) if inside else path).as_posix()


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def check(
    root: Path, live_counts: Mapping[str, Mapping[str, int]] | None = None, baseline: Path | None = None
) -> CheckResult:
    """Check the results folder `root`.

    `live_counts`: network -> fields of complexity.csv as the code counts them now; without it staleness is not checked.
    `baseline`: accepted values, written by `baseline.accept`. Raises RequestError where it cannot be read.
    """
    evidence = load_everything(root)
    tables = [table(name, evidence) for name in TABLES]
    items = [
        *_count_items(tables),
        *_metric_items(tables),
        *_seed_items(evidence),
        *(Item("files", problem.path.name, Status.FAILED, str(problem), problem.path) for problem in evidence.problems),
        *_staleness_items(evidence, live_counts),
        *_outdated_items(tables, evidence),
        *_pair_items(evidence),
    ]
    if baseline is not None:
        for name, message, moved in compare_with_baseline(evidence.runs, baseline):
            items.append(Item("baseline", name, Status.FAILED if moved else Status.PASSED, message, baseline))
    return CheckResult(items, _count_lines(tables), tally(tables), headline(tables, evidence))


def _printed_rows(tables: Iterable[PaperTable]) -> dict[str, Row]:
    """network -> its first row with printed counts."""
    found: dict[str, Row] = {}
    for row in (row for filled in tables for block in filled.blocks if not block.orientation for row in block.rows):
        if any(each.printed is not None for each in row.counts.values()):
            found.setdefault(row.network, row)
    return found


def _count_lines(tables: Iterable[PaperTable]) -> list[str]:
    """One line a network: printed and counted figures, and the verdict of both."""
    lines = [f"  {'network':<18}{'printed':>16}{'counted':>18}  verdict"]
    for network, row in _printed_rows(tables).items():
        params, gflops = row.counts["params_m"], row.counts["gflops"]
        printed = f"{_thousandths(params.printed, NOT_PUBLISHED)} / {_thousandths(gflops.printed, NOT_PUBLISHED)}"
        counted = f"{_thousandths(params.counted, NOT_COUNTED)} / {_thousandths(gflops.counted, NOT_COUNTED)}"
        words = ", ".join(dict.fromkeys(_word(each) for each in (params, gflops)))
        lines.append(f"  {network:<18}{printed:>16}{counted:>18}  {words}")
    return lines


def _thousandths(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.3f}"


def _word(found: CountComparison) -> str:
    heading = {"params_m": "parameters", "gflops": "GFLOPs"}[found.column]
    if found.verdict is Verdict.CONTRADICTED:
        return f"{heading} contradicted ({'documented' if found.documented else 'undocumented'})"
    return str(found.verdict)


def _count_items(tables: Iterable[PaperTable]) -> list[Item]:
    path = published.PUBLISHED / "contradictions.csv"
    items = []
    for network, row in _printed_rows(tables).items():
        for column, found in row.counts.items():
            status = {Verdict.REPRODUCED: Status.PASSED, Verdict.NO_CLAIM: Status.SKIPPED}.get(
                found.verdict, Status.FAILED
            )
            status = Status.DOCUMENTED if found.documented else status
            items.append(Item("counts", f"{network} {column}", status, found.reason, path))
    return items


def _metric_items(tables: Iterable[PaperTable]) -> list[Item]:
    """One item for each published metric, however many tables print it; not measured is skipped, never passed."""
    items: dict[str, Item] = {}
    blocks = [block for filled in tables for block in filled.blocks if block.recipe == RECIPE and not block.orientation]
    for row in (row for block in blocks for row in block.rows):
        for metric, found in row.comparisons.items():
            if found.published is None:
                continue
            status = Status.SKIPPED
            if found.verdict in OUTSIDE:
                status = Status.DOCUMENTED if found.documented else Status.FAILED
            elif found.verdict is Verdict.REPRODUCED:
                status = Status.PASSED
            values = f"published {percent(found.published)}"
            values += f", measured {percent(found.measured.mean)} (n = {found.measured.n})" if found.measured else ""
            name = f"{row.dataset} {row.network} {metric}"
            message = f"{values}: {found.verdict}; {found.reason}"
            path = row.runs[0].folder.parent if row.runs else published.PUBLISHED / "table1.csv"
            items.setdefault(name, Item("metrics", name, status, message, path))
    return list(items.values())


def _seed_items(evidence: Evidence) -> list[Item]:
    explained = {(note.network, note.dataset): note.reason for note in evidence.documented if note.column == "seeds"}
    items = []
    for failure in evidence.failures:
        cell = failure.cell
        reason = explained.get((cell.network, cell.dataset)) or explained.get((cell.network, ""))
        message = f"given up at epoch {failure.epoch}: {failure.reason}" + (f"; {reason}" if reason else "")
        status = Status.DOCUMENTED if reason else Status.FAILED
        items.append(Item("seeds", str(cell), status, message, failure.folder / "failed.json"))
    return items


def _staleness_items(evidence: Evidence, live: Mapping[str, Mapping[str, int]] | None) -> list[Item]:
    """complexity.csv against what the code counts now."""
    if live is None:
        return []
    path, items = complexity_path(evidence.root), []
    for network in dict.fromkeys([*live, *evidence.complexity]):
        now, stored = live.get(network, {}), evidence.complexity.get(network, {})
        moved = [name for name in COUNT_FIELDS if name in {*now, *stored} and now.get(name) != stored.get(name)]
        if moved:
            changes = ", ".join(f"{name} {stored.get(name)} -> {now.get(name)}" for name in moved)
            message = f"complexity.csv is out of date ({changes}): run python -m benchmarks count"
            items.append(Item("staleness", network, Status.FAILED, message, path))
    return items or [Item("staleness", "complexity.csv", Status.PASSED, "it is what the code counts now", path)]


def _pair_items(evidence: Evidence) -> list[Item]:
    """Published mIoU and DSC against each other: one item for all pairs that agree, one for each that does not."""
    found = published_pairs(evidence)
    items = []
    for pair in (pair for pair in found if not pair.holds):
        name = f"{pair.table} {pair.dataset} {pair.network} miou and dsc"
        message = (
            f"published DSC {percent(pair.dsc)}, but its mIoU {percent(pair.miou)} gives {percent(dsc_of(pair.miou))}"
        )
        items.append(Item("published", name, Status.DOCUMENTED, message, published.PUBLISHED / f"{pair.table}.csv"))
    message = f"{len(found) - len(items)} of {len(found)} published pairs obey DSC = 2 IoU / (1 + IoU) within rounding"
    return [Item("published", "miou and dsc", Status.PASSED, message, published.PUBLISHED), *items]


def _outdated_items(tables: Iterable[PaperTable], evidence: Evidence) -> list[Item]:
    """Explanations of count contradictions that do not exist (any more)."""
    rows, path = _printed_rows(tables), published.PUBLISHED / "contradictions.csv"
    items = []
    for note in evidence.documented:
        found = rows[note.network].counts.get(note.column) if note.network in rows else None
        if found is not None and found.counted is not None and found.verdict is not Verdict.CONTRADICTED:
            message = "contradictions.csv explains a contradiction that does not exist: remove its line"
            items.append(Item("files", f"{note.network} {note.column}", Status.FAILED, message, path))
    return items
