"""Pictures of a comparison: one image a dot, and contact sheets of the images that matter."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from reports.figures.picture import Picture, picture
from reports.figures.predictions import GAP, TILE, contour, font, mask_tile, photo_tile
from reports.figures.style import BLUE, INK, ORANGE, PANEL, PAPER, style
from reports.versus.pair import Pair, Side
from results.predictions import Masks

Photographs = Callable[[str, list[str]], Mapping[str, tuple[np.ndarray, np.ndarray]]]
COLUMNS, TEXT = 5, 34  # images in a line of a sheet; pixels of words below each
COLOURS = {"truth": (255, 255, 255), "first": (86, 180, 233), "second": (230, 159, 0)}


def scatter(pair: Pair, title: str) -> Picture:
    """IoU of each image, the second's against the first's."""
    with style():
        figure = Figure(figsize=(PANEL[0], PANEL[0]))
        ax = figure.add_axes((0.13, 0.12, 0.83, 0.78))
        figure.text(0.012, 0.98, title, va="top", fontsize=8, fontweight="bold")
        ax.plot([0, 1], [0, 1], color=INK, linewidth=0.6, alpha=0.6)
        wins = pair.gaps > 0
        for chosen, colour, marker in ((wins, BLUE, "o"), (~wins, ORANGE, "s")):
            x, y = pair.second.per_image[chosen], pair.first.per_image[chosen]
            ax.scatter(x, y, s=7, marker=marker, facecolors="none", edgecolors=colour, linewidths=0.6)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=f"IoU by {pair.second.name}")
        ax.set_ylabel(f"IoU by {pair.first.name}")
        ax.grid(True)
        first, second, _ = pair.wins
        caption = (
            f"Each test image once, mean over seeds. {pair.first.name} is better on {100 * first:.0f} %, "
            f"{pair.second.name} on {100 * second:.0f} % of {len(pair.gaps)} images."
        )
        return picture(figure, "scatter", title, caption, caption)


def sheet(
    pair: Pair, ids: Sequence[str], pictures: Mapping[str, tuple[np.ndarray, np.ndarray]], *, alone: bool = False
) -> Image.Image:
    """The images with the edges of the truth and of both predictions, as far as masks were kept; and their IoU.

    alone: of the first only.
    """
    shown = [name for name in ids if name in pictures]
    sides = {"first": pair.first} if alone else {"first": pair.first, "second": pair.second}
    masks = {key: _masks(side) for key, side in sides.items()}
    step = (TILE + GAP, TILE + TEXT)
    page = Image.new("RGB", (GAP + COLUMNS * step[0], 30 + ceil(len(shown) / COLUMNS) * step[1]), PAPER)
    draw = ImageDraw.Draw(page)
    _legend(draw, {"truth": "truth"} | {key: side.name for key, side in sides.items()})
    at = {name: row for row, name in enumerate(pair.first.ids)}
    for number, name in enumerate(shown):
        left, top = GAP + number % COLUMNS * step[0], 30 + number // COLUMNS * step[1]
        page.paste(
            _tile(*pictures[name], {key: each[name] for key, each in masks.items() if name in each}), (left, top)
        )
        row = at[name]
        scores = " : ".join(f"{100 * side.per_image[row]:.0f}" for side in sides.values())
        draw.text((left, top + TILE + 2), name, font=font(11), fill=INK)
        draw.text((left, top + TILE + 16), f"IoU % {scores}", font=font(11), fill=INK)
    return page


def own_sheet(side: Side, ids: Sequence[str], pictures: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Image.Image:
    """The same of one network alone."""
    return sheet(Pair(side, side), ids, pictures, alone=True)


def _masks(side: Side) -> Masks:
    """Of the lowest seed."""
    return Masks(min(side.runs, key=lambda run: run.cell.seed))


def _tile(photo: np.ndarray, truth: np.ndarray, masks: Mapping[str, np.ndarray]) -> Image.Image:
    tile = photo_tile(photo).copy()
    for key, mask in {"truth": truth, **masks}.items():
        tile[contour(mask_tile(mask))] = COLOURS[key]
    return Image.fromarray(tile)


def _legend(draw: ImageDraw.ImageDraw, names: Mapping[str, str]) -> None:
    left = GAP
    for key, words in names.items():
        draw.rectangle((left, 8, left + 16, 20), fill=COLOURS[key], outline=INK)
        draw.text((left + 22, 14), words, font=font(12), fill=INK, anchor="lm")
        left += 44 + int(font(12).getlength(words))
