"""Any trace file as the native form: what `benchsuite convert` does."""

import gzip
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.jsonl import lines

FORMATS: Final = {str(one.__struct_config__.tag): one for one in get_args(TraceFormat)}


class Converted(NamedTuple):
    num_rows: int
    num_broken: int
    first_broken: str | None


def source(name: str, path: str, options: Mapping[str, str]) -> TraceFormat:
    """The file `path` in the format `name`, with further keys of it. Raises ScenarioError."""
    if name not in FORMATS:
        raise ScenarioError(f"--from {name}: unknown format (known: {', '.join(FORMATS)})")
    try:
        found: TraceFormat = msgspec.convert({**options, "path": path}, FORMATS[name], strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ScenarioError(f"--from {name}: {error}") from error
    return found


def write(trace: TraceFormat, out: Path | None, on_bad_row: Literal["fail", "skip"]) -> Converted:
    """Write a trace in the native form to a file (`.gz`: packed), or to standard output.

    Raises TraceError at the first broken row, unless they are to be skipped and counted.
    """
    broken: list[TraceError] = []
    num_rows = 0

    def known() -> Iterator[TraceRow]:
        nonlocal num_rows
        for row in trace.rows():
            if isinstance(row, TraceRow):
                num_rows += 1
                yield row
            elif on_bad_row == "fail":
                raise row
            else:
                broken.append(row)

    with _opened(out) as write_lines:
        write_lines(lines(known(), trace.block_tokens))
    return Converted(num_rows, len(broken), str(broken[0]) if broken else None)


@contextmanager
def _opened(out: Path | None) -> Iterator[Callable[[Iterable[bytes]], None]]:
    """A file that bears its name only when it is whole."""
    if out is None:
        yield sys.stdout.buffer.writelines
        return
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as raw:
            if out.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                    yield packed.writelines
            else:
                yield raw.writelines
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
