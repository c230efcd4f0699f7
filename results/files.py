"""Reading and writing files: the only code that writes a result, always as a whole or not at all."""

import json
import os
from pathlib import Path

import pandas as pd

from results.errors import RequestError

HOME = Path(__file__).resolve().parent


def write_text(path: Path, text: str) -> None:
    """Write atomically: readers see the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Write atomically, keys in the given order, numbers in full precision. Raises ValueError on NaN or infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write atomically, floats in full (round-trip) precision."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_json(path: Path) -> dict:
    """Raises RequestError where the file is missing or not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(f"{path} is missing; delete its folder and run this cell again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is not JSON ({error}); delete its folder and run this cell again.") from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} is not a JSON object; delete its folder and run this cell again.")
    return content
