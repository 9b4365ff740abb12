"""summary.csv, requests.csv and concurrency.csv: tables for people and spreadsheets, RFC 4180.

Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchsuite.metrics import METRICS
from benchsuite.metrics.answers import num_right
from benchsuite.metrics.base import Summary
from benchsuite.metrics.overlap import in_decode, in_prefill, means_between
from benchsuite.records.table import RunData
from benchsuite.results.result import RunResult

ROWS_AT_ONCE: Final = 10_000
Cell = str | int | float | bool | None
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_INTERVALS: Final = 500  # rows of concurrency.csv
_COLUMNS: Final = (
    "request_id",
    "session_id",
    "turn",
    "slo_class",
    "priority",
    "tenant",
    "model",
    "status",
    "in_window",
    "error_class",
    "error",
    "finish_reason",
    "due_s",
    "sent_s",
    "first_token_s",
    "first_output_s",
    "last_token_s",
    "finished_s",
    "prompt_tokens_asked",
    "output_tokens_asked",
    "cached_tokens",
    "tokens_from",
    "stamp_source",
    "correct",
    "num_items",
)
_UNKNOWN_BELOW_0: Final = frozenset({"cached_tokens", "correct"})


def summary_csv(result: RunResult) -> str:
    """One row per metric: the fields of Summary, intervals in two columns each."""
    fields = [
        name for name in Summary.__struct_fields__ if name not in ("refused", "with_failures")
    ]
    head = [column for name in fields for column in _summary_columns(name)]
    rows = [
        [cell for name in fields for cell in _summary_cells(name, getattr(summary, name))]
        for summary in result.summaries.values()
    ]
    return _csv(head, list(zip(*rows, strict=True)))


def requests_csv(data: RunData) -> str:
    """One row per request: what happened, and every per-request metric."""
    return "".join(_requests_csv(data))


def _requests_csv(data: RunData) -> Iterator[str]:
    """In parts: a cell takes ten times as much as an object as it does in the file."""
    metrics = [metric for metric in METRICS if metric.shape == "request"]
    columns = [getattr(data, name) for name in _COLUMNS]
    values = [metric.values(data) for metric in metrics]
    right = num_right(data)
    head = [*_COLUMNS, "num_right"]
    yield _csv([*head, *(_with_unit(metric.name, metric.unit) for metric in metrics)], [])
    for start in range(0, len(data), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        cells = [_column(name, one[rows]) for name, one in zip(_COLUMNS, columns, strict=True)]
        yield _rows([*cells, right[rows].tolist(), *(_cells(one[rows]) for one in values)])


def concurrency_csv(data: RunData) -> str:
    """Requests in their prefill (from sent to first token) and in their decode, over the whole run:
    the mean of each of 500 equal intervals."""
    head = ("start_s", "end_s", "in_prefill", "in_decode")
    phases = (data.once(in_prefill), data.once(in_decode))
    moments_s = np.concatenate([phase.at_s for phase in phases])
    if not len(moments_s) or moments_s.min() == moments_s.max():
        return _csv(head, [[] for _ in head])
    edges_s = np.linspace(moments_s.min(), moments_s.max(), _INTERVALS + 1)
    means = [means_between(phase, edges_s) for phase in phases]
    return _csv(head, [column.tolist() for column in (edges_s[:-1], edges_s[1:], *means)])


def write(result: RunResult, data: RunData, folder: Path) -> None:
    """Write all into a run folder."""
    tables: dict[str, Iterable[str]] = {
        "summary.csv": [summary_csv(result)],
        "requests.csv": _requests_csv(data),
        "concurrency.csv": [concurrency_csv(data)],
    }
    for name, parts in tables.items():
        with (folder / name).open("wb") as file:
            for text in parts:
                file.write(text.encode("utf-8", errors="replace"))


def _summary_columns(name: str) -> list[str]:
    return [f"{name}_low", f"{name}_high"] if name.endswith("_ci") else [name]


def _summary_cells(name: str, value: Cell | tuple[float, float]) -> list[Cell]:
    if not name.endswith("_ci"):
        assert not isinstance(value, tuple), name
        return [value]
    return list(value) if isinstance(value, tuple) else [None, None]


def _with_unit(name: str, unit: str) -> str:
    return f"{name}_s" if unit == "s" else name


def _column(name: str, found: NDArray[Any] | tuple[str, ...]) -> list[Cell]:
    if isinstance(found, tuple):
        return list(found)
    if name in _UNKNOWN_BELOW_0:
        return [None if value < 0 else value for value in found.tolist()]
    if name == "priority":  # a whole number, or NaN
        return [None if value != value else int(value) for value in found.tolist()]
    return _cells(found)


def _cells(values: NDArray[Any]) -> list[Cell]:
    """NaN becomes an empty cell."""
    return [None if value != value else value for value in values.tolist()]


def _csv(head: Sequence[str], columns: Sequence[Sequence[Cell]]) -> str:
    return _rows([[cell] for cell in head]) + _rows(columns)


def _rows(columns: Sequence[Sequence[Cell]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerows(zip(*map(_safe_column, columns), strict=True))
    return file.getvalue()


def _safe_column(column: Sequence[Cell]) -> Sequence[Cell]:
    """Most columns hold no text at all, and are not looked at cell by cell."""
    return list(map(_safe, column)) if str in set(map(type, column)) else column


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell
