"""The tables of the paper, typed by a person and read-only."""

from pathlib import Path

import pandas as pd

from results.errors import RequestError

PUBLISHED = Path(__file__).resolve().parent / "published"


def published_table(table: str) -> pd.DataFrame:
    """A table typed from the paper: "table1", "table2" or "table3". Percent and printed units, NaN where unreadable.

    Raises RequestError where the file is missing or lacks its key columns.
    """
    path = PUBLISHED / f"{table}.csv"
    try:
        content = pd.read_csv(path)
    except (FileNotFoundError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RequestError(f"{path} cannot be read ({error}); restore it from the repository.") from None
    missing = {"dataset", "model", "label", "params_m", "gflops", "source"} - set(content.columns)
    if missing:
        raise RequestError(f"{path} lacks the columns {sorted(missing)}; restore it from the repository.")
    return content
