"""Random damage to stored files, as hypothesis strategies: what a disk, a bad copy or an editor may do to them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

VALUES: list[Any] = [None, True, False, -1, 0, 1, 7, 2.5, -0.0, 1e-300, 1e99, 1e300, 2**63 - 1, 2**64, 10**40]
VALUES += [
    float("nan"),
    float("inf"),
    "",
    "x",
    "1",
    "nan",
    "\ud800",
    "\0",
    "$x^$",
    "<b>&",
    "\\",
    "é" * 300,
    "..",
    [],
    {},
]
VALUES += [[[]], [None], {"a": 1}, {"format": 1}]
RAW = ["1e400", "9" * 5000, "[" * 30 + "]" * 30, "-", "NaN", '"\\ud800"', "00", "0x10", "1_0", "١٢"]
CELLS = [
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1",
    "1.5",
    "1_0",
    "0x10",
    "١٢",
    "9" * 30,
    str(2**63),
]
CELLS += [
    str(2**63 - 1),
    "1e99",
    "-0",
    "x",
    '"',
    "\0",
    "a\nb",
    "=1+1",
    "$x^$",
    "<b>",
    "\\",
    "é" * 300,
    "..",
    "True",
    "1,5",
]

Spoil = Callable[[st.DrawFn, bytes], bytes]


def _place(draw: st.DrawFn, content: bytes) -> int:
    return draw(st.integers(0, max(len(content) - 1, 0)))


def flip(draw: st.DrawFn, content: bytes) -> bytes:
    """One bit."""
    place = _place(draw, content)
    return content[:place] + bytes([content[place] ^ 1 << draw(st.integers(0, 7))]) + content[place + 1 :]


def digit(draw: st.DrawFn, content: bytes) -> bytes:
    """One digit becomes another one."""
    places = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    place = draw(st.sampled_from(places))
    return content[:place] + draw(st.sampled_from(b"0123456789")).to_bytes(1, "big") + content[place + 1 :]


def truncate(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def splice(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes go, others come."""
    place, length = _place(draw, content), draw(st.integers(0, 9))
    return content[:place] + draw(st.binary(max_size=6)) + content[place + length :]


def lines(draw: st.DrawFn, content: bytes) -> bytes:
    """A line goes, stands twice, is cut off or changes places with another."""
    found = content.splitlines(keepends=True)
    first, second = (draw(st.integers(0, len(found) - 1)) for _ in range(2))
    kind = draw(st.sampled_from(["delete", "double", "cut", "swap", "end"]))
    if kind == "delete":
        del found[first]
    elif kind == "double":
        found.insert(second, found[first])
    elif kind == "cut":
        found[first] = found[first][: len(found[first]) // 2]
    elif kind == "swap":
        found[first], found[second] = found[second], found[first]
    else:
        del found[first:]
    return b"".join(found)


def cell(draw: st.DrawFn, content: bytes) -> bytes:
    """A cell of a table becomes something hostile."""
    found = [line.split(",") for line in content.decode().splitlines()]
    row = draw(st.sampled_from(found))
    row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(CELLS))
    return ("\n".join(",".join(row) for row in found) + "\n").encode(errors="surrogatepass")


def column(draw: st.DrawFn, content: bytes) -> bytes:
    """A column goes, or stands twice, or changes places with another."""
    found = [line.split(",") for line in content.decode().splitlines()]
    first, second = (draw(st.integers(0, len(found[0]) - 1)) for _ in range(2))
    kind = draw(st.sampled_from(["delete", "double", "swap"]))
    for row in (row for row in found if len(row) > max(first, second)):
        if kind == "delete":
            del row[first]
        elif kind == "double":
            row.insert(second, row[first])
        else:
            row[first], row[second] = row[second], row[first]
    return ("\n".join(",".join(row) for row in found) + "\n").encode()


def value(draw: st.DrawFn, content: bytes) -> bytes:
    """A value of a JSON file becomes one of another type, goes, or becomes what no writer writes."""
    document = json.loads(content)
    holder, key = draw(st.sampled_from(list(_sites(document))))
    kind = draw(st.sampled_from(["replace", "replace", "remove", "raw", "twice", "rename", "near"]))
    if kind == "remove":
        del holder[key]
    elif kind == "near" and isinstance(holder[key], int | float):
        holder[key] = draw(
            st.sampled_from([holder[key] + 1, holder[key] * (1 + 1e-9), -holder[key], float(holder[key])])
        )
    elif kind == "rename" and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    elif kind == "raw":
        holder[key] = "@raw@"
        return json.dumps(document).encode().replace(b'"@raw@"', draw(st.sampled_from(RAW)).encode())
    elif kind == "twice" and isinstance(holder, dict):
        again = f'"{key}": {json.dumps(draw(st.sampled_from(VALUES)))}, "@mark@"'
        marked = {"@mark@": 0, **holder}
        holder.clear()
        holder.update(marked)
        return json.dumps(document).encode().replace(b'"@mark@"', again.encode(), 1)
    else:
        holder[key] = draw(st.sampled_from(VALUES))
    return json.dumps(document, indent=2).encode() + b"\n"


def _sites(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every value in the document, as what holds it and its key there."""
    for key, child in list(document.items() if isinstance(document, dict) else enumerate(document)):
        yield document, key
        if isinstance(child, dict | list):
            yield from _sites(child)


BYTES: tuple[Spoil, ...] = (flip, digit, truncate, splice, lines)
OF_SUFFIX: dict[str, tuple[Spoil, ...]] = {".csv": (*BYTES, cell, cell, column), ".json": (*BYTES, value, value, value)}


@st.composite
def damages(draw: st.DrawFn, whole: dict[Path, bytes]) -> tuple[Path, bytes | None]:
    """One of the files, and what it holds afterwards; None: the file is gone."""
    path = draw(st.sampled_from(sorted(whole)))
    if draw(st.integers(0, 49)) == 0:
        return path, draw(st.sampled_from([None, b"", b"\0" * 64, whole[draw(st.sampled_from(sorted(whole)))]]))
    spoil = draw(st.sampled_from(OF_SUFFIX.get(path.suffix, (flip, truncate, splice))))
    return path, spoil(draw, whole[path])
