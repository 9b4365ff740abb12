"""ServeGen's client pools (Xiang et al., arXiv:2505.09999): for each client its rate and burstiness
by windows of time, and how long its prompts and answers are.

A pool is a folder as ServeGen has it (`chunk-N-trace.csv`, `chunk-N-dataset.json`), or one JSONL
file with a client a line: `{"client", "trace": [[start_s, rate, cv, family, shape, scale], ...],
"dataset": {start_s: {field: "{value: probability, ...}"}}}`. The scale is not used: it does not fit
the rate beside it.
"""

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads.formats.reading import json_rows

FAMILIES: Final = ("Gamma", "Weibull")
_KEY: Final = re.compile(r"([\d.e+-]+):")


class Window(NamedTuple):
    """A stretch of a client's time, up to the next one's start."""

    start_s: float
    rate: float  # requests per second
    family: str  # of its gaps: Gamma or Weibull
    shape: float
    cv: float  # of its gaps, as the pool says


class Sizes(NamedTuple):
    """A distribution of whole numbers."""

    values: NDArray[np.float64]  # ascending
    cumulative: NDArray[np.float64]  # probability of at most that value; the last is 1

    def at(self, share: float) -> int:
        """The value below which `share` of the probability lies."""
        place = int(np.searchsorted(self.cumulative, share, side="right"))
        return round(float(self.values[min(place, len(self.values) - 1)]))


@dataclass(frozen=True)
class Client:
    """One client. `tables`: fields and their probabilities as they were written, none of them
    empty, and `starts` since when each holds, in seconds."""

    name: str
    windows: tuple[Window, ...]
    starts: tuple[float, ...]
    tables: tuple[dict[str, str], ...]
    where: str  # file, for errors
    line: int
    _read: dict[int, dict[str, Sizes]] = field(default_factory=dict)

    def sizes_at(self, time_s: float) -> dict[str, Sizes]:
        """Of the table that holds then: the last before that is not empty, or else the first."""
        index = max(bisect_right(self.starts, time_s) - 1, 0)
        if index not in self._read:
            if not self.tables:
                raise TraceError(self.where, self.line, f"client {self.name}: its dataset is empty")
            fields = self.tables[index].items()
            self._read[index] = {name: self._sizes(name, text) for name, text in fields}
        return self._read[index]

    def _sizes(self, name: str, text: str) -> Sizes:
        try:
            quoted = _KEY.sub(r'"\1":', text)
            table = msgspec.json.decode(quoted, type=dict[str, float])
            weights = {float(value): weight for value, weight in table.items()}
            total = sum(weights.values())
            if not total > 0:
                raise ValueError("they add up to 0")
        except (ValueError, msgspec.DecodeError) as error:
            problem = f"client {self.name}: {name}: expected {{value: probability, ...}}"
            raise TraceError(self.where, self.line, f"{problem}: {error}") from error
        values = sorted(weights)
        cumulative = np.cumsum([weights[value] for value in values]) / total
        return Sizes(np.array(values), cumulative)


class _Line(Struct, frozen=True):
    client: int | str
    trace: tuple[tuple[str | float, ...], ...]
    dataset: dict[str, dict[str, str]]


def read(path: str) -> tuple[Client, ...]:
    """All clients that send something, in the pool's order. Raises ScenarioError, TraceError."""
    clients = tuple(_folder(Path(path)) if Path(path).is_dir() else _file(path))
    if not clients:
        raise ScenarioError(f"{path}: holds no client")
    return tuple(one for one in clients if any(window.rate for window in one.windows))


def _file(path: str) -> Iterator[Client]:
    for number, row in json_rows(path, _Line):
        if isinstance(row, TraceError):
            raise row
        yield _client(str(row.client), row.trace, row.dataset, path, number)


def _folder(folder: Path) -> Iterator[Client]:
    found = [
        (re.fullmatch(r"chunk-(\d+)-trace\.csv", path.name), path) for path in folder.iterdir()
    ]
    for number, path in sorted((int(match[1]), path) for match, path in found if match):
        dataset = path.with_name(f"chunk-{number}-dataset.json")
        try:
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            tables = msgspec.json.decode(dataset.read_bytes(), type=dict[str, dict[str, str]])
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"{path}: cannot be read: {error}") from error
        except msgspec.DecodeError as error:
            raise TraceError(str(dataset), 1, str(error)) from error
        if rows and not re.match(r"[\d.]", rows[0][0]):  # a header
            rows = rows[1:]
        yield _client(str(number), tuple(map(tuple, rows)), tables, str(path), 1)


def _client(
    name: str,
    rows: tuple[tuple[str | float, ...], ...],
    tables: dict[str, dict[str, str]],
    where: str,
    line: int,
) -> Client:
    windows = tuple(_window(name, row, where, line) for row in rows)
    try:
        timed = sorted((float(start), start) for start in tables)
    except ValueError as error:
        raise TraceError(where, line, f"client {name}: dataset: {error}") from error
    kept = [
        (start_s, {field: text for field, text in tables[start].items() if text.strip() != "{}"})
        for start_s, start in timed
    ]
    kept = [(start_s, fields) for start_s, fields in kept if fields]
    starts, filled = tuple(start_s for start_s, _ in kept), tuple(fields for _, fields in kept)
    return Client(name, windows, starts, filled, where, line)


def _window(name: str, row: tuple[str | float, ...], where: str, line: int) -> Window:
    try:
        start, rate, cv, family, shape, *_ = row
        found = Window(float(start), float(rate), str(family), float(shape), float(cv))
    except ValueError as error:
        expected = "start, rate, cv, family, shape, scale"
        problem = f"client {name}: expected {expected}, found {row!r}: {error}"
        raise TraceError(where, line, problem) from error
    if found.rate < 0 or (found.rate and (found.family not in FAMILIES or not found.shape > 0)):
        problem = f"client {name}: expected a family of {', '.join(FAMILIES)} and a shape above 0"
        raise TraceError(where, line, f"{problem}, found {row!r}")
    return found
