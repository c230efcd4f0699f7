"""Figure 2 of the paper, published and measured: parameters against mIoU, colour = GFLOPs."""

from reports.comparison.join import Block, Row
from reports.figures.picture import Picture, picture
from reports.figures.scatter import Pair, draw, key, pair_of, panel, summary
from reports.figures.style import style


def figure2(block: Block, name: str, title: str) -> Picture | None:
    """Parameters in millions against mIoU in percent, colour = GFLOPs; None where the block has nothing to draw."""
    pairs = [pair for row in block.rows if (pair := by_parameters(row, block.reference_only)).marks]
    if not pairs:
        return None
    with style():
        figure, ax = panel(pairs, title, "parameters (millions, log scale)")
        draw(ax, pairs)
        caption = f"Parameters against mIoU, colour = GFLOPs. {key(pairs, block)}"
        alt = f"Scatter plot of {len(pairs)} networks, parameters against mIoU: {summary(pairs)}"
        return picture(figure, name, title, caption, alt)


def by_parameters(row: Row, reference_only: bool) -> Pair:
    """The published mark stands at the published count, the measured one at ours, or at the other if one is missing."""
    params = row.counts.get("params_m")
    published = params.published if params else None
    counted = params.counted if params else None
    return pair_of(row, published or counted, counted or published, reference_only)
