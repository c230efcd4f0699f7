"""What all JSON files of the results folder share: checked fields, sentences for what is wrong, nothing lost.

A `Record` is a JSON object whose fields have a type, a unit and bounds. Keys that this version does not know are kept
and written again, in objects within it too; keys that a file lacks are not invented. A `Document` is a whole file.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from results import files, seal
from results.errors import Damaged

NEWER = "read it with the version that wrote it"
WANTED = {"model_type": "an object", "dict_type": "an object", "tuple_type": "a list"}  # in the words of JSON

Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
Number = float | int  # a whole one is written again as it was
Amount = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]


class Record(BaseModel):
    """A JSON object with checked fields, which cannot be changed; None where a file says null or nothing."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False, protected_namespaces=())

    def content(self) -> dict[str, Any]:
        """As it stands in a file: the fields that were given, in the class's order, then the unknown ones."""
        return self.model_dump(exclude_unset=True)

    def changed(self, **fields: Any) -> Self:
        """A copy with other values, which are not checked again."""
        return self.model_copy(update=fields)


class Document(Record):
    """A JSON file. A class with a field `format` refuses files that lack it, or that a later version wrote; one with a
    field `digest` refuses files that were changed after they were `sealed`."""

    FORMAT: ClassVar[int] = 1
    CURE: ClassVar[str] = files.RERUN

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises Damaged, which names the file, the field and the cure, where it is missing or cannot be used."""
        return cls.of(files.read_json(path, cls.CURE), path)

    @classmethod
    def of(cls, content: dict[str, Any], path: Path) -> Self:
        """The content of the file at `path`. Raises Damaged."""
        version = content.get("format", None if "format" in cls.model_fields else cls.FORMAT)
        if isinstance(version, int) and version > cls.FORMAT:
            message = f"it has format {version}, which is newer than this version reads ({cls.FORMAT})"
            raise Damaged(path, message, f"{NEWER}, or {cls.CURE}")
        if version != cls.FORMAT:
            raise Damaged(path, f"it has format {version!r}, this version reads format {cls.FORMAT}", cls.CURE)
        try:
            document = cls.model_validate(content)
        except ValidationError as error:
            raise Damaged(path, _fault(error, content), cls.CURE) from None
        if seal.DIGEST in cls.model_fields:
            seal.check_content(content, path, cls.CURE)
        return document

    def sealed(self) -> Self:
        """A copy with the `digest` of its content, for a class that has that field."""
        return self.changed(digest=seal.of_content(self.content()))

    def write(self, path: Path) -> None:
        """Write atomically. Raises ValueError for a number that is not finite."""
        files.write_json(path, self.content())


def _fault(error: ValidationError, content: dict[str, Any]) -> str:
    """The first thing that is wrong, in words: which field, what it is, and what it should be."""
    first = error.errors(include_url=False)[0]
    place, here = [], content
    for part in first["loc"]:  # without the names of alternatives, which pydantic puts between
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            place.append(str(part))
            here = here[part]  # type: ignore[call-overload,index]
    if first["type"] == "missing":
        return f"it has no {'.'.join([*place, str(first['loc'][-1])])}"
    wanted = WANTED.get(first["type"], first["msg"].replace("Input should be ", "").replace("valid ", ""))
    return f"its {'.'.join(place)} is {reprlib.repr(first['input'])}, and should be {wanted}"
