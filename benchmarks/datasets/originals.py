"""What the files were before they were scaled: kept with a prepared set, because scores depend on it.

Masks drawn at full size get soft edges when they are scaled; masks that come at the prepared size have none. Images
that were compressed at that size have lost detail that scaled originals keep.
"""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Original:
    """One pair of files before scaling."""

    width: int  # pixels
    height: int  # pixels
    format: str  # of the image file, as Pillow names it: JPEG or PNG
    soft: int  # mask pixels that are neither 0 nor 255


@dataclass
class Originals:
    """Collects the pairs of a data set while they are decoded."""

    seen: list[Original] = field(default_factory=list)

    def add(self, original: Original) -> None:
        self.seen.append(original)

    def summary(self) -> dict:
        """Number of images, formats, sides in pixels and the share of soft mask pixels: plain data for JSON."""
        pixels = sum(each.width * each.height for each in self.seen)
        return {
            "images": len(self.seen),
            "formats": dict(sorted(Counter(each.format for each in self.seen).items())),
            "width": _spread(each.width for each in self.seen),
            "height": _spread(each.height for each in self.seen),
            "soft_share": sum(each.soft for each in self.seen) / pixels,
        }


def _spread(values: Iterable[int]) -> dict[str, int]:
    """Smallest, lower median and largest: sides that some file has."""
    ordered = sorted(values)
    return {"min": ordered[0], "median": statistics.median_low(ordered), "max": ordered[-1]}
