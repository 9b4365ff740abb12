"""Whether the native form of a recording holds what the recording holds. Streams both.

`first_difference`: what the format's reader gives against what is read back, field by field.
`first_lost`: each text and number of the file against the rows that were made of its line, for what
the reader itself leaves out. It asks whether a value is there, not where.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain, groupby, pairwise, zip_longest
from typing import Any, Final

import msgspec

from benchsuite.workloads.blocks import packed
from benchsuite.workloads.formats import Azure, Jsonl, TraceFormat
from benchsuite.workloads.formats.base import Row, TraceRow
from benchsuite.workloads.formats.reading import lines, raw_objects

DERIVED: Final = {
    "$.turn",  # of MLCommons' lines: their order says it
    "$.tools[].type",  # always `function`
    "$.tool_calls[].type",
    "$.history[].tool_calls[].type",
    "$.messages[].tool_calls[].type",
    "$.train_messages[][].role",  # `function`, OpenAI's word of 2023 for `tool`
    "$.messages_display",  # the text of all messages in one
}
"""Fields that say what others say already, or what the native form says in another word."""

TICKS_PER_S: Final = 10**7  # Azure's seven digits of a second

Groups = Iterator[tuple[float, set[Any] | None]]


def first_difference(source: TraceFormat, native: str) -> str | None:
    """The session, turn and field at which the native form first differs; None: nowhere.

    Two fields may: `line`, a place in the file, and `block_tokens`, which each row with hash ids
    says for itself there.
    """
    told = (row for row in source.rows() if isinstance(row, TraceRow))
    turns: Counter[Any] = Counter()
    for number, (row, again) in enumerate(zip_longest(told, Jsonl(path=native).rows()), start=1):
        if not isinstance(row, TraceRow) or not isinstance(again, TraceRow):
            return f"row {number}: {row!r:.120} became {again!r:.120}"
        if row.hash_ids and row.block_tokens is None:
            row = msgspec.structs.replace(row, block_tokens=source.block_tokens)
        for name in Row.__struct_fields__:
            one, other = getattr(row, name), getattr(again, name)
            if one != other:
                session = f"row {number}" if row.session_id is None else row.session_id
                where = f"session {session}, turn {turns[row.session_id]}"
                return f"{where}, {unequal(name, one, other)}"
        turns[row.session_id] += 1
    return None


def unequal(place: str, one: Any, other: Any) -> str:
    """The innermost part at which two unequal values differ."""
    one, other = msgspec.to_builtins(one), msgspec.to_builtins(other)
    parts: Iterable[tuple[str, Any, Any]] = ()
    if isinstance(one, dict) and isinstance(other, dict):
        parts = ((f"{place}.{key}", one.get(key), other.get(key)) for key in one | other)
    elif isinstance(one, list) and isinstance(other, list):
        pairs = enumerate(zip_longest(one, other))
        parts = ((f"{place}[{at}]", *pair) for at, pair in pairs)
    for part in parts:
        if part[1] != part[2]:
            return unequal(*part)
    return f"{place}: {one!r:.60} became {other!r:.60}"


def first_lost(source: TraceFormat, native: str) -> str | None:
    """The line and field of the file whose value no row of it holds; None: all are held.

    A line of which no row was made (a header, a later turn) belongs to the rows before it, or to
    the first. What is known to be broken is left out.
    """
    objects = _objects(source)
    line, fields = next(objects, (math.inf, {}))
    for (_, held), (until, _) in pairwise(chain(_groups(source, native), [(math.inf, None)])):
        while line < until:
            for place, value in _values(fields, "$") if held is not None else ():
                if value not in held and place not in DERIVED:  # type: ignore[operator]
                    return f"line {line:g}, {place}: {value!r:.60}"
            line, fields = next(objects, (math.inf, {}))
    return None


def _groups(source: TraceFormat, native: str) -> Groups:
    """(line, the values that its rows hold in the native form); None: the line is broken."""
    again = Jsonl(path=native).rows()
    told = ((row, next(again) if isinstance(row, TraceRow) else None) for row in source.rows())
    for line, rows in groupby(told, key=lambda pair: pair[0].line):
        found = [row for _, row in rows]
        is_broken = None in found
        yield line, None if is_broken else set(chain.from_iterable(map(_held, found)))


def _held(row: Any) -> Iterator[Any]:
    """Values of a row, its times in the units that formats have, and what is JSON in a text."""
    for _, value in _values(msgspec.to_builtins(row), "$"):
        yield value
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                yield from (inner for _, inner in _values(msgspec.json.decode(value), "$"))
            except msgspec.DecodeError:
                continue  # a text that begins like JSON
    if row.arrival_s is not None:
        yield from (round(row.arrival_s * 1000), round(row.arrival_s * TICKS_PER_S))


def _values(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Each text and number, and where it stands; hash ids whole. What is empty is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "hash_ids":
                yield f"{place}.{key}", packed(inner)
            else:
                yield from _values(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _values(inner, f"{place}[]")
    elif value not in (None, "", False):
        yield place, value


def _objects(source: TraceFormat) -> Iterator[tuple[float, dict[str, Any]]]:
    """(line, what stands in it)"""
    if not isinstance(source, Azure):
        yield from ((line, raw) for line, raw in raw_objects(source.path) if isinstance(raw, dict))
        return
    (_, header), *rows = ((at, line.decode()) for at, line in lines(source.path))
    origin: int | None = None
    for at, line in rows:
        (fields,) = csv.DictReader([header, line])
        time, digits = fields.pop("TIMESTAMP").split(".")
        ticks = int(datetime.fromisoformat(f"{time}+00:00").timestamp()) * TICKS_PER_S + int(digits)
        origin = ticks if origin is None else origin
        counts = {name: int(text) for name, text in fields.items()}
        yield at, {"TIMESTAMP": ticks - origin} | counts
