"""Predictions on photographs: photograph, truth, and each network's contour with its right and wrong pixels.

Masks come with the runs. Photographs never do: a function given by the caller fetches them from the prepared data set.
"""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from reports.comparison.join import Block, Row
from reports.figures.picture import Picture
from reports.figures.style import INK, PAPER
from results.errors import Damaged, Problem, RequestError
from results.metrics import METRICS
from results.predictions import Masks
from results.runs import Run

Photographs = Callable[[str, list[str]], Mapping[str, tuple[np.ndarray, np.ndarray]]]
"""(data set, ids) to {id: ((H, W, 3) uint8 photograph, (H, W) bool truth)}; RequestError without the data."""

BY_HASH, BY_DISAGREEMENT = 5, 3  # images
TILE, GAP, MARGIN, HEADER, FOOTER = 144, 4, 168, 46, 34  # pixels
QUALITY = 88  # of the JPEG
COLOURS = {"true positive": (0, 158, 115), "false positive": (213, 94, 0), "false negative": (86, 180, 233)}
STRENGTH = {"true positive": 0.35, "false positive": 0.8, "false negative": 0.8}
STRIPE = 6  # pixels: false negatives are striped, so that they differ from false positives without colour


@dataclass(frozen=True)
class Choice:
    """An image to show, and why it."""

    id: str
    reason: str


def predictions(block: Block, photographs: Photographs, name: str, title: str) -> tuple[Picture | None, list[Problem]]:
    """The figure of one block, from the lowest seed of each network, and the masks that could not be read.

    None where no run has stored masks. Raises RequestError where the photographs are not at hand.
    """
    shown = [(row, masks) for row in block.rows if (masks := _with_masks(row)) is not None]
    common = set.intersection(*(set(masks) for _, masks in shown)) if shown else set()
    if not common:
        return None, []
    choices = choose([row for row, _ in shown], common)
    pictures = photographs(block.dataset, [choice.id for choice in choices])
    choices = [choice for choice in choices if choice.id in pictures]
    if not choices:
        raise RequestError(f"The prepared data set {block.dataset} holds none of the scored images; prepare it again.")
    lines, problems = _lines(shown, choices, pictures)
    jpeg = _jpeg(_compose(lines, choices))
    seeds = sorted({masks.run.cell.seed for _, masks in shown})
    words = f"seed {seeds[0]}" if len(seeds) == 1 else "the lowest stored seed of each network"
    caption = (
        f"Predictions of {words}; white line: the network's contour; number: the image's own IoU in percent. "
        f"The first {sum(c.reason == 'by hash' for c in choices)} images are those with the lowest SHA-256 of their id "
        "among the scored images with stored masks; the others are those on which the networks' IoU differs most."
    )
    alt = f"{len(choices)} photographs of lesions with the truth and the outlines that {len(shown)} networks drew."
    return Picture(name, title, caption, alt, jpeg=jpeg, wide=True), problems


def choose(rows: Sequence[Row], ids: set[str]) -> list[Choice]:
    """Five ids by hash, then the three others on which the networks' IoU (mean over seeds) has the largest spread."""
    by_hash = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:BY_HASH]
    spread = disagreement(rows)
    rest = sorted(ids - set(by_hash), key=lambda name: (-spread[name], name)) if len(rows) > 1 else []
    reasons = ["by hash"] * len(by_hash) + ["disagreement"] * BY_DISAGREEMENT
    return [Choice(*pair) for pair in zip(by_hash + rest[:BY_DISAGREEMENT], reasons, strict=False)]


def disagreement(rows: Sequence[Row]) -> dict[str, float]:
    """id -> standard deviation over networks of the image's own IoU, each network's a mean over its seeds."""
    iou, ids = METRICS[0], rows[0].runs[0].per_image.index
    values = [np.mean([iou(run.per_image.loc[ids].to_numpy()) for run in row.runs], axis=0) for row in rows]
    return dict(zip(ids, np.std(values, axis=0).tolist(), strict=True))


def _with_masks(row: Row) -> Masks | None:
    """The masks of the lowest seed that kept some."""
    rising = sorted(row.runs, key=lambda run: run.cell.seed)
    return next((masks for run in rising if (masks := Masks(run))), None)


def _lines(
    shown: Sequence[tuple[Row, Masks]], choices: Sequence[Choice], pictures: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[list[tuple[str, list[Image.Image]]], list[Problem]]:
    """Label and tiles of each line of the figure: photograph, truth, then the networks whose masks are readable."""
    photos = [photo_tile(pictures[choice.id][0]) for choice in choices]
    truths = [mask_tile(pictures[choice.id][1]) for choice in choices]
    outlines = [_outlined(photo, truth) for photo, truth in zip(photos, truths, strict=True)]
    lines = [("Photograph", [Image.fromarray(photo) for photo in photos]), ("Truth", outlines)]
    problems = []
    for row, masks in shown:
        tiles = []
        for choice, photo, truth in zip(choices, photos, truths, strict=True):
            try:
                predicted = mask_tile(masks[choice.id])
            except Damaged as damage:
                problems.append(damage.problem)
                break
            tiles.append(_judged(photo, truth, predicted, masks.run, choice.id))
        if len(tiles) == len(choices):
            lines.append((row.marked_label, tiles))
    return lines, problems


def photo_tile(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 to (TILE, TILE, 3) uint8."""
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS))


def mask_tile(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool to (TILE, TILE) bool."""
    return np.asarray(Image.fromarray(mask).resize((TILE, TILE), Image.Resampling.NEAREST))


def contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the two outermost pixels of the mask."""
    return mask & ~binary_erosion(mask, iterations=2)


def _outlined(photo: np.ndarray, truth: np.ndarray) -> Image.Image:
    tile = photo.copy()
    tile[contour(truth)] = 255
    return Image.fromarray(tile)


def _judged(photo: np.ndarray, truth: np.ndarray, predicted: np.ndarray, run: Run, name: str) -> Image.Image:
    """Grey photograph, coloured where truth or prediction say lesion, with the network's contour and its IoU."""
    tile = np.repeat(photo.mean(axis=2, keepdims=True), 3, axis=2) * 0.8 + 40
    y, x = np.mgrid[:TILE, :TILE]
    cases = {
        "true positive": truth & predicted,
        "false positive": ~truth & predicted,
        "false negative": truth & ~predicted & ((x + y) % STRIPE < STRIPE - 2),
    }
    for case, where in cases.items():
        tile[where] += (np.array(COLOURS[case]) - tile[where]) * STRENGTH[case]
    tile[contour(predicted)] = 255
    image = Image.fromarray(tile.clip(0, 255).astype(np.uint8))
    iou = float(METRICS[0](run.per_image.loc[name].to_numpy()))
    ImageDraw.Draw(image).text(
        (5, TILE - 5), f"{100 * iou:.1f}", font=font(13), fill=PAPER, stroke_width=2, stroke_fill=INK, anchor="ls"
    )
    return image


def _compose(lines: Sequence[tuple[str, list[Image.Image]]], choices: Sequence[Choice]) -> Image.Image:
    """All tiles on one sheet with headings, labels and a legend."""
    step = TILE + GAP
    sheet = Image.new("RGB", (MARGIN + step * len(choices), HEADER + step * len(lines) + FOOTER), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, choice in enumerate(choices):
        middle = MARGIN + step * column + TILE // 2
        draw.text((middle, 6), choice.id, font=font(13, "-Bold"), fill=INK, anchor="ma")
        draw.text((middle, 25), choice.reason, font=font(12), fill=INK, anchor="ma")
    for place, (words, tiles) in enumerate(lines):
        top = HEADER + step * place
        draw.text((MARGIN - 10, top + TILE // 2), _folded(words), font=font(14), fill=INK, anchor="rm", align="right")
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (MARGIN + step * column, top))
    _legend(draw, sheet.height - FOOTER + 8)
    return sheet


def _folded(name: str) -> str:
    """A name that does not fit the margin, over two lines."""
    if font(14).getlength(name) <= MARGIN - 14:
        return name
    words = name.split(" ")
    half = next(k for k in range(1, len(words) + 1) if len(" ".join(words[:k])) >= len(name) // 3)
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


def _legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    left = MARGIN
    for case, colour in COLOURS.items():
        draw.rectangle((left, top, left + 22, top + 14), fill=colour)
        if case == "false negative":
            for x in range(left, left + 23, STRIPE):
                draw.line(
                    (x, top + 14, min(x + 14, left + 22), max(top, top + 14 - (left + 22 - x))), fill=PAPER, width=2
                )
        left += 30
        draw.text((left, top + 7), case, font=font(13), fill=INK, anchor="lm")
        left += int(font(13).getlength(case)) + 26
    draw.text((left, top + 7), "grey: true negative", font=font(13), fill=INK, anchor="lm")


def font(size: int, weight: str = "") -> ImageFont.FreeTypeFont:
    """The font that ships with matplotlib: the same on every machine."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / f"fonts/ttf/DejaVuSans{weight}.ttf"), size)


def _jpeg(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
