"""Lines of a data file, plain or gzipped, and typed rows of JSONL with their line numbers."""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from benchsuite.errors import ScenarioError, TraceError

Row = TypeVar("Row", bound=msgspec.Struct)

_GZIP_MAGIC: Final = b"\x1f\x8b"
_PLACE: Final = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<field>.*)`")


def lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Line number from 1, and the line without its end; empty lines are left out."""
    try:
        with Path(path).open("rb") as raw:
            is_gzip = raw.peek(2)[:2] == _GZIP_MAGIC
            with gzip.open(raw) if is_gzip else raw as file:
                for number, line in enumerate(file, start=1):
                    content = line.rstrip(b"\r\n")
                    if number == 1:
                        content = content.removeprefix(b"\xef\xbb\xbf")
                    if content.strip():
                        yield number, content
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def json_rows(path: str, row_type: type[Row]) -> Iterator[tuple[int, Row | TraceError]]:
    """Each line as a `row_type`, or the error that describes what is wrong with it."""
    decoder = msgspec.json.Decoder(row_type)
    for number, line in lines(path):
        try:
            yield number, decoder.decode(line)
        except msgspec.DecodeError as error:
            yield number, TraceError(path, number, _problem(str(error), row_type))
        except UnicodeDecodeError:
            yield number, TraceError(path, number, "not UTF-8 text")


def _problem(message: str, row_type: type[msgspec.Struct]) -> str:
    """`Expected int, got str - at $.x` as `x: expected int, got str`; known names where unknown."""
    message = message.removeprefix("Object ")
    if place := _PLACE.fullmatch(message):
        problem, field = place["problem"], place["field"]
        message = f"{field}: {problem[0].lower()}{problem[1:]}" if field else problem
    if "unknown field" in message:
        message += f" (known: {', '.join(row_type.__struct_fields__)})"
    return message
