"""Azure LLM inference traces 2023 (CSV; Patel et al., "Splitwise", ISCA 2024) and 2024."""

import re
from collections.abc import Iterator
from datetime import date
from typing import ClassVar, Final

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import lines

_HEADER: Final = "TIMESTAMP,ContextTokens,GeneratedTokens"
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:\+00:00)?"
)
_NS_PER_S: Final = 1_000_000_000


class Azure(Spec, frozen=True, tag="azure"):
    """Azure LLM inference trace (CSV): time, prompt tokens, output tokens; no texts, no sessions.

    All seven digits of a second are kept. A row with 0 output tokens asks for 1.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath

    def rows(self) -> Iterator[TraceRow | TraceError]:
        found = lines(self.path)
        number, header = next(found, (1, b""))
        if header.decode(errors="replace") != _HEADER:
            raise TraceError(
                self.path, number, f"expected the header {_HEADER}, found {_shown(header)}"
            )
        origin_ns: int | None = None
        for number, line in found:
            try:
                time, *tokens = line.decode().split(",")
                arrival_ns = _nanoseconds(time)
                prompt_tokens, output_tokens = (
                    _whole(name, text)
                    for name, text in zip(_HEADER.split(",")[1:], tokens, strict=True)
                )
            except ValueError as error:
                yield TraceError(self.path, number, _reason(error, line))
                continue
            # Whole nanoseconds until here: a float of seconds since year 1 would lose the digits.
            origin_ns = arrival_ns if origin_ns is None else origin_ns
            yield TraceRow(
                line=number,
                arrival_s=(arrival_ns - origin_ns) / _NS_PER_S,
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
            )


def _nanoseconds(text: str) -> int:
    """Nanoseconds since the beginning of year 1."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"TIMESTAMP: expected YYYY-MM-DD HH:MM:SS.fffffff, found {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    seconds = ((date(year, month, day).toordinal() * 24 + hour) * 60 + minute) * 60 + second
    return seconds * _NS_PER_S + int((match[7] or "").ljust(9, "0"))


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"{name}: expected a whole number, found {text!r}")
    return int(text)


def _reason(error: ValueError, line: bytes) -> str:
    if line.count(b",") != 2:
        return f"expected 3 fields, found {line.count(b',') + 1}: {_shown(line)}"
    return str(error)


def _shown(line: bytes) -> str:
    return repr(line.decode(errors="replace")[:80])
