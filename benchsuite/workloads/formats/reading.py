"""Lines, objects and tables of a data file, plain or gzipped, with the place where each stands."""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads.formats.base import TraceRow

Row = TypeVar("Row", bound=msgspec.Struct)
T = TypeVar("T")

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


class Found(NamedTuple):
    """An object of a file, checked as far as its format is known."""

    line: int  # from 1; the position in the array where the file is one
    raw: dict[str, Any]  # all of it

    def rest(self, row_type: type[msgspec.Struct]) -> dict[str, Any] | None:
        """What `row_type` has no field for; None if there is nothing."""
        known = set(row_type.__struct_encode_fields__)
        return {key: value for key, value in self.raw.items() if key not in known} or None


def objects(path: str, row_type: type[Row]) -> Iterator[tuple[Found, Row] | TraceError]:
    """Each object of JSONL, of a JSON array, or the one of a JSON file; fields that `row_type` does
    not have are kept in what was found. A folder stands for its .json files by name."""
    for file, line, raw in _raw_objects(path):
        if isinstance(raw, TraceError):
            yield raw
            continue
        try:
            row = msgspec.convert(raw, row_type)
        except msgspec.ValidationError as error:
            yield TraceError(file, line, _problem(str(error), row_type))
        else:
            yield Found(line, raw), row


def sessions(
    path: str, row_type: type[Row], told: Callable[[Found, Row], Iterator[TraceRow]]
) -> Iterator[TraceRow | TraceError]:
    """The rows that each object `told`, or what is wrong with it (its ValueError): a session is
    there whole or not at all."""
    for found in objects(path, row_type):
        if isinstance(found, TraceError):
            yield found
            continue
        try:
            rows = list(told(*found))
        except ValueError as error:
            yield TraceError(path, found[0].line, str(error))
        else:
            yield from rows


def raw_objects(path: str) -> Iterator[tuple[int, dict[str, Any] | TraceError]]:
    """The same, not checked for any field."""
    for _, line, raw in _raw_objects(path):
        yield line, raw


def whole(path: str, kind: type[T]) -> T:
    """A whole JSON file, plain or gzipped. Raises ScenarioError."""
    content = b"\n".join(line for _, line in lines(path))
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def _raw_objects(path: str) -> Iterator[tuple[str, int, dict[str, Any] | TraceError]]:
    """(file, line, object or error)"""
    files = [path]
    if Path(path).is_dir():
        files = [str(file) for file in sorted(Path(path).glob("*.json*"))]
    for file in files:
        for line, item in _items(file):
            if isinstance(item, dict | TraceError):
                yield file, line, item
            else:
                yield file, line, TraceError(file, line, f"expected an object, found {item!r:.80}")


def _items(path: str) -> Iterator[tuple[int, Any]]:
    """(line, object or error). The first line tells JSONL from a file that is one JSON value."""
    found = lines(path)
    first = next(found, None)
    if first is None:
        return
    if _is_whole(first[1]):
        yield first[0], _decoded(path, *first)
        for line, content in found:
            yield line, _decoded(path, line, content)
        return
    value = _decoded(path, first[0], b"\n".join([first[1], *(content for _, content in found)]))
    if isinstance(value, list):
        yield from enumerate(value, start=1)
    else:
        yield first[0], value


def _is_whole(line: bytes) -> bool:
    """Whether a line is an object by itself; so is a broken one that begins and ends like one."""
    text = line.strip()
    return text.startswith(b"{") and text.endswith(b"}")


def _decoded(path: str, line: int, content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        return TraceError(path, line, str(error))
    except UnicodeDecodeError:
        return TraceError(path, line, "not UTF-8 text")


def table(path: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]] | TraceError]:
    """Rows of a CSV file by column name. Raises TraceError if its header lacks one of `columns`."""
    found = lines(path)
    line, content = next(found, (1, b""))
    header = next(csv.reader([content.decode(errors="replace")]), [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise TraceError(
            path,
            line,
            f"expected a header with {', '.join(columns)}; it lacks {', '.join(missing)}: "
            f"{content.decode(errors='replace')[:80]!r}",
        )
    for line, content in found:
        fields = next(csv.reader([content.decode(errors="replace")]))
        if len(fields) == len(header):
            yield line, dict(zip(header, fields, strict=True))
        else:
            yield TraceError(path, line, f"expected {len(header)} fields, found {len(fields)}")


def number(name: str, text: str) -> float:
    """Raises ValueError that names the field."""
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not 0 <= found < float("inf"):
        raise ValueError(f"{name}: expected a number of at least 0, found {text!r}")
    return found


def whole_number(name: str, text: str) -> int:
    """Raises ValueError that names the field."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"{name}: expected a whole number, found {text!r}")
    return int(text)


def _problem(message: str, row_type: type[msgspec.Struct]) -> str:
    """`Expected int, got str - at $.x` as `x: expected int, got str`; known names where unknown."""
    message = message.removeprefix("Object ")
    if place := _PLACE.fullmatch(message):
        problem, field = place["problem"], place["field"]
        message = f"{field}: {problem[0].lower()}{problem[1:]}" if field else problem
    if "unknown field" in message:
        message += f" (known: {', '.join(row_type.__struct_fields__)})"
    return message
