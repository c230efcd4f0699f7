"""Whether a predicted probability can be believed: the share of lesion among the pixels that got it."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from reports.evidence import Evidence
from reports.figures.picture import Picture, picture
from reports.figures.style import INK, PANEL, style
from reports.statistics.block import RunBlock
from results.probabilities import reliability

FEWEST = 1000  # pixels of a bin that is drawn
LINES = ("-", "--", "-.", ":")
MOST = 8  # networks in one figure, those with the highest IoU


def reliabilities(
    block: RunBlock, labels: Mapping[str, str], evidence: Evidence, name: str, title: str
) -> Picture | None:
    """None where no run of the block kept its probabilities."""
    totals = {
        network: sum(evidence.spreads[run.cell].sum(axis=0) for run in runs if run.cell in evidence.spreads)
        for network, runs in block.networks.items()
        if any(run.cell in evidence.spreads for run in runs)
    }
    if not totals:
        return None
    best = sorted(totals, key=lambda network: -np.mean([run.metrics["iou"] for run in block.networks[network]]))[:MOST]
    with style():
        figure = Figure(figsize=(PANEL[0], 3.4))
        ax = figure.add_axes((0.13, 0.13, 0.83, 0.76))
        figure.text(0.012, 0.98, title, va="top", fontsize=8, fontweight="bold")
        ax.plot([0, 1], [0, 1], color=INK, linewidth=0.6, alpha=0.5)
        for number, network in enumerate(best):
            pixels = np.asarray(totals[network])
            middle, lesion, _ = reliability(pixels)
            enough = pixels.sum(axis=0) >= FEWEST
            ax.plot(
                middle[enough],
                lesion[enough],
                LINES[number % len(LINES)],
                marker="o",
                markersize=2.5,
                label=labels[network],
            )
        ax.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="predicted probability of lesion",
            ylabel="share of lesion among these pixels",
        )
        ax.grid(True)
        ax.legend(loc="upper left")
        caption = (
            "Pixels of all test images and seeds by their predicted probability, and how many of them are lesion. On "
            f"the diagonal a probability is what it says; bins of fewer than {FEWEST:,} pixels are not drawn."
        )
        alt = f"Line chart of {len(best)} networks: predicted probability against the share of lesion."
        return picture(figure, name, title, caption, alt)
