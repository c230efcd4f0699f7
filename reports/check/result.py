"""The outcome of a check: all its items, and how they are written for people and for CI."""

from collections.abc import Mapping
from dataclasses import dataclass

from reports.check.github import to_annotations
from reports.check.item import Item, Status
from reports.check.junit import to_junit
from reports.comparison.tally import Tally
from reports.comparison.verdict import Verdict


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
        """JUnit XML."""
        return to_junit(self.items)

    def annotations(self) -> list[str]:
        """GitHub workflow commands."""
        return to_annotations(self.failures)


def _numbers(verdicts: Mapping[Verdict, int]) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())


def _line(item: Item) -> str:
    return f"  {item.name}: {item.message}"
