"""What the tables that papers print may show: their styles, their columns, their rows."""

from dataclasses import dataclass

from results.errors import RequestError, unknown
from results.metrics import METRICS

STYLES = {  # the environment, and what it shows unless columns are asked for
    "narrow": ("table", ("params", "gflops", "iou", "dsc")),
    "wide": ("table*", ("params", "gflops", *(metric.name for metric in METRICS))),
}
COUNTS = {"params": ("params_m", "Params", "M"), "gflops": ("gflops", "GFLOPs", "")}
COLUMNS = (*COUNTS, *(metric.name for metric in METRICS), "published")
MOST_NARROW = 4  # columns beside the name that one column of a page takes


@dataclass(frozen=True)
class Paper:
    """What a plain table shows."""

    style: str = "narrow"
    columns: tuple[str, ...] = ()
    """Any of COLUMNS; none: those of the style."""
    networks: tuple[str, ...] = ()
    """By name; none: all of Table 1 that are to be shown."""
    measured: bool = True
    """Only networks with runs; otherwise all of Table 1, with a dash where nothing was measured."""

    def __post_init__(self) -> None:
        """Raises RequestError for a style or a column that there is not, and for too many columns."""
        if self.style not in STYLES:
            raise unknown("style", self.style, STYLES, "--style takes one of: {names}")
        for column in self.columns:
            if column not in COLUMNS:
                raise unknown("column", column, COLUMNS, "--columns takes any of: {names}")
        if self.style == "narrow" and len(self.shown) > MOST_NARROW:
            raise RequestError(
                f"--columns names {len(self.shown)} columns; a column of a page takes {MOST_NARROW} at 8 pt; "
                "name fewer, or give --style wide."
            )

    @property
    def shown(self) -> tuple[str, ...]:
        return self.columns or STYLES[self.style][1]


PLAIN = Paper()
"""Narrow, with what was measured."""
