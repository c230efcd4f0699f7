"""The check for CI: counts and metrics against the published ones, stored files, and an accepted baseline.

What fails (exit status 1):

* a count that contradicts the published one and is not explained in results/published/contradictions.csv, and an
  explanation there of a contradiction that does not exist;
* a metric of a complete row (the paper's recipe, five seeds) outside its tolerance, above or below, that is not
  explained there: who finds one looks into it and types the reason, which makes it documented, never reproduced;
* a seed that was given up, unless a line with the column `seeds` explains it;
* counts in complexity.csv that the code no longer gives; files that cannot be used;
* with a baseline: a stored mean that moved by more than the baseline's own tolerance, or that is gone.

Published pairs of mIoU and DSC that disagree with each other are listed as documented: the fault is not ours.
What is incomplete or not measured is listed and does not fail: it says nothing against what was published.
"""

from collections.abc import Mapping
from pathlib import Path

from reports.check.accepted import compare_with_baseline
from reports.check.counts import count_items, count_lines, outdated_items, staleness_items
from reports.check.item import Item, Status
from reports.check.metrics import metric_items, pair_items, seed_items
from reports.check.result import CheckResult
from reports.comparison.findings import Findings
from reports.headline import headline


def check(
    root: Path, live_counts: Mapping[str, Mapping[str, int]] | None = None, baseline: Path | None = None
) -> CheckResult:
    """Check the results folder `root`.

    `live_counts`: network -> fields of complexity.csv as the code counts them now; without it staleness is not checked.
    `baseline`: accepted values, written by `accepted.accept`. Raises RequestError where it cannot be read.
    """
    findings = Findings.load(root)
    evidence = findings.evidence
    items = [
        *count_items(findings),
        *metric_items(findings),
        *seed_items(findings),
        *(Item("files", problem.path.name, Status.FAILED, str(problem), problem.path) for problem in evidence.problems),
        *staleness_items(findings, live_counts),
        *outdated_items(findings),
        *pair_items(findings),
    ]
    if baseline is not None:
        for name, message, moved in compare_with_baseline(evidence.runs, baseline):
            items.append(Item("baseline", name, Status.FAILED if moved else Status.PASSED, message, baseline))
    return CheckResult(items, count_lines(findings), findings.tally, headline(findings))
