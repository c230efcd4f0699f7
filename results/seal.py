"""Checksums that tie what a cell measured together: a number that changed later is never shown without a word.

`report.json` (or `failed.json`) is written last. It holds the SHA-256 of each file beside it under `files`, that of all
masks as one, and its own under `digest`. Weights and masks may be left away, as git leaves weights away; changed, they
are damage. Documents of earlier versions have neither field, and are read as before.
"""

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.cell import CONFIG, HISTORY, MASKS, PER_IMAGE, PREDICTIONS, PROBABILITIES, WEIGHTS
from results.errors import Damaged

NEEDED, OPTIONAL = (CONFIG, HISTORY, PER_IMAGE), (WEIGHTS, MASKS, PREDICTIONS, PROBABILITIES)
DIGEST, FILES = "digest", "files"
RESTORE = "restore it, or delete its folder and run this cell again"


def of_content(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object without its `digest`: of UTF-8, keys sorted, no spaces."""
    rest = {name: value for name, value in content.items() if name != DIGEST}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file. Of a folder that of its lines in `sha256sum *.png`. Raises OSError."""
    if path.is_dir():
        lines = [f"{of_file(each)}  {each.name}\n" for each in sorted(path.glob("*.png"))]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError(errno.EINVAL, "it is no file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of what lies in the folder of a cell now. Raises OSError."""
    return {name: of_file(folder / name) for name in (*NEEDED, *OPTIONAL) if (folder / name).exists()}


def check_content(content: Mapping[str, Any], path: Path, cure: str) -> None:
    """Raises Damaged where the JSON object at `path` is not what its `digest` says; one without may have no `files`."""
    digest = content.get(DIGEST)
    if digest is None and content.get(FILES) is not None:
        raise Damaged(path, "its digest is missing", cure)
    if digest is not None and digest != of_content(content):
        raise Damaged(path, "it was changed after it was written: its digest is another one", cure)


def check_folder(folder: Path, recorded: Mapping[str, str] | None, *, large: bool = True) -> None:
    """Raises Damaged where a file of a cell is not the recorded one. None: of an earlier version, nothing is known.

    large: also weights and masks, where they are there.
    """
    for name in (*NEEDED, *(OPTIONAL if large else ())):
        path, wanted = folder / name, (recorded or {}).get(name)
        if wanted is None or (name in OPTIONAL and not path.exists()):
            continue
        try:
            found = of_file(path)
        except FileNotFoundError:
            raise Damaged(path, "the file is missing", RESTORE) from None
        except OSError as error:
            raise Damaged(path, f"it cannot be read ({error.strerror})", RESTORE) from None
        if found != wanted:
            what = "the masks are not those" if name == MASKS else "it is not the file"
            raise Damaged(path, f"{what} of which report.json holds the SHA-256", RESTORE)
