"""The lesion's share of the authors' test pixels, as their published metrics imply it, and that of our test split."""

import numpy as np

from reports.comparison.verdict import RECIPE
from reports.evidence import Evidence

DATASET = "isic2018"  # the only one of which accuracy, specificity and sensitivity were published


def lesion_shares(evidence: Evidence) -> tuple[float, float] | None:
    """Implied by the published numbers, and of our test split, as fractions; None where either is unknown.

    Accuracy is the mean of sensitivity and specificity, weighted by the share of lesion pixels x:
    acc = x sen + (1 - x) spe, so that x = (spe - acc) / (spe - sen). The median over the rows of Table 2 is taken.
    """
    table = evidence.published["table2"]
    if not {"acc", "spe", "sen"} <= set(table.columns):
        return None
    implied = float(np.nanmedian((table["spe"] - table["acc"]) / (table["spe"] - table["sen"])))
    ours = [run for run in evidence.runs if (run.cell.dataset, run.cell.recipe) == (DATASET, RECIPE)]
    if not ours or not np.isfinite(implied):
        return None
    tp, _, fn, _ = ours[0].counts.sum(axis=0)
    return implied, float((tp + fn) / ours[0].counts.sum())
