"""Azure LLM inference traces 2023 (CSV; Patel et al., "Splitwise", ISCA 2024), 2024, and the
multimodal one of 2025."""

import re
from collections.abc import Iterator
from datetime import date
from typing import ClassVar, Final

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import lines, whole_number

_LANGUAGE: Final = "TIMESTAMP,ContextTokens,GeneratedTokens"
_MULTIMODAL: Final = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens"
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:\+00:00)?"
)
_NS_PER_S: Final = 1_000_000_000


class Azure(Spec, frozen=True, tag="azure"):
    """Azure LLM inference traces (CSV): time, prompt tokens, output tokens; no texts, no sessions.

    Of 2023 and 2024, and the multimodal one of 2025, which says how many images came with a
    request. All seven digits of a second are kept, and the first row's own TIMESTAMP with it: later
    ones count from there. A row with 0 output tokens asks for 1.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath

    def rows(self) -> Iterator[TraceRow | TraceError]:
        found = lines(self.path)
        number, header = next(found, (1, b""))
        names = header.decode(errors="replace")
        if names not in (_LANGUAGE, _MULTIMODAL):
            raise TraceError(
                self.path, number, f"expected the header {_LANGUAGE}, found {_shown(header)}"
            )
        columns = names.split(",")
        origin_ns: int | None = None
        for number, line in found:
            try:
                time, *counts = line.decode().split(",")
                arrival_ns = _nanoseconds(time)
                count = {
                    name: whole_number(name, text)
                    for name, text in zip(columns[1:], counts, strict=True)
                }
            except ValueError as error:
                yield TraceError(self.path, number, _reason(error, line, len(columns)))
                continue
            # Whole nanoseconds until here: a float of seconds since year 1 would lose the digits.
            is_first, origin_ns = origin_ns is None, origin_ns or arrival_ns
            yield TraceRow(
                line=number,
                arrival_s=(arrival_ns - origin_ns) / _NS_PER_S,
                prompt_tokens=count["ContextTokens"],
                output_tokens=count["GeneratedTokens"],
                num_images=count.get("NumImages", 0),
                extra={"TIMESTAMP": time} if is_first else None,
            )


def _nanoseconds(text: str) -> int:
    """Nanoseconds since the beginning of year 1."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"TIMESTAMP: expected YYYY-MM-DD HH:MM:SS.fffffff, found {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    seconds = ((date(year, month, day).toordinal() * 24 + hour) * 60 + minute) * 60 + second
    return seconds * _NS_PER_S + int((match[7] or "").ljust(9, "0"))


def _reason(error: ValueError, line: bytes, num_columns: int) -> str:
    if line.count(b",") != num_columns - 1:
        return f"expected {num_columns} fields, found {line.count(b',') + 1}: {_shown(line)}"
    return str(error)


def _shown(line: bytes) -> str:
    return repr(line.decode(errors="replace")[:80])
