"""What a run's config.json says of its data, in words.

Runs of earlier versions lack it, and sets that an earlier version prepared have None for what was not recorded.
"""

from results.schema import DataRecord, Originals, Sides

NOT_RECORDED = "not recorded"


def originals_in_words(data: DataRecord | None) -> str:
    """ "JPEG, 540 to 6748 (median 1024) x 576 to 4499 (median 768) px"; "JPEG, 256 x 256 px"; "drawn"."""
    originals = data and data.originals
    if not isinstance(originals, Originals):
        return originals or NOT_RECORDED
    formats = originals.formats
    kinds = " and ".join(name if len(formats) == 1 else f"{number:,} {name}" for name, number in formats.items())
    return f"{kinds}, {_range(originals.width)} x {_range(originals.height)} px"


def _range(sides: Sides) -> str:
    low, middle, high = sides.min, sides.median, sides.max
    return f"{low}" if low == high else f"{low} to {high} (median {middle})"


def masks_in_words(data: DataRecord | None) -> str:
    """The soft share of the masks in the files: "0 and 255 only", or "1.23 % soft"."""
    originals = data and data.originals
    return _soft(originals.soft_share if isinstance(originals, Originals) else None)


def trained_masks_in_words(data: DataRecord | None) -> str:
    """The soft share of the masks at the size trained on."""
    return _soft(data.soft_share if data else None)


def _soft(share: float | None) -> str:
    if share is None:
        return NOT_RECORDED
    return "0 and 255 only" if share == 0 else f"{100 * share:.3g} % soft"


def came_scaled(data: DataRecord | None) -> bool:
    """Whether no image file is larger than the paper's 256 px: someone scaled them before this suite saw them."""
    originals = data and data.originals
    return isinstance(originals, Originals) and max(originals.width.max, originals.height.max) <= 256
