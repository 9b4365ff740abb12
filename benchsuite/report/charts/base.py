"""Chart: a figure and the words around it; and the questions all charts ask of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from benchsuite.records.table import BoolArray, FloatArray, IntArray, RunData
from benchsuite.report.charts.plotly_figure import Figure
from benchsuite.report.quantities import visible
from benchsuite.results.result import RunResult

MAX_LABEL: Final = 60
MOST_POINTS: Final = 1 << 22
NUM_LONGEST: Final = 50  # of each piece of a run


class Table(NamedTuple):
    """The numbers behind a chart, for those who do not see it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """One question put to a run. `reading` says in a sentence or two what the figure shows."""

    key: str  # its id in the page
    title: str
    reading: str
    figure: Figure
    table: Table
    note: str = ""  # what was left out
    is_wide: bool = True
    height_px: int = 300


Draw = Callable[[RunResult, RunData], Chart | None]
"""A chart of a run; None where there is nothing to show. Pure."""


@dataclass(frozen=True)
class Points:
    """Values with the request that each belongs to and when it was, all [points]."""

    values_s: FloatArray
    request: IntArray  # index into the columns of RunData
    at_s: FloatArray  # seconds from run start

    def __len__(self) -> int:
        return len(self.values_s)

    def where(self, keep: BoolArray | IntArray) -> "Points":
        """Those that are marked, or numbered."""
        return Points(self.values_s[keep], self.request[keep], self.at_s[keep])

    def and_also(self, others: "Points") -> "Points":
        return _joined([self, others]) if len(others) else self

    @property
    def known(self) -> "Points":
        """Those that are not NaN."""
        return self.where(~np.isnan(self.values_s))


def per_request(values_s: FloatArray, data: RunData) -> Points:
    """One value per request, at its origin."""
    return Points(values_s, np.arange(len(data)), data.origin_s)


class TokenPoints(NamedTuple):
    """One value per token, when it arrived; NaN left out."""

    points: Points  # of all requests, or
    step: int  # of every so many-th of them
    longest: Points  # of the others; empty where there are none


def per_token(values: Callable[[RunData], FloatArray], data: RunData) -> TokenPoints:
    """All of them where there are no more than MOST_POINTS."""
    step = max(1, -(-int(data.num_stamped.sum()) // MOST_POINTS))
    nothing = Points(np.empty(0), np.empty(0, np.int64), np.empty(0))
    kept, longest, first = [], [nothing], 0
    for piece in data.pieces():
        request = piece.per_token(np.arange(first, first + len(piece)))
        first += len(piece)
        at_s = np.repeat(piece.chunk_s, piece.chunk_tokens)
        known = Points(values(piece), request, at_s).known
        if step > 1:
            is_kept = known.request % step == 0
            others = known.where(~is_kept)
            longest.append(others.where(np.argsort(others.values_s)[-NUM_LONGEST:]))
            known = known.where(is_kept)
        kept.append(known)
    return TokenPoints(_joined(kept), step, _joined(longest))


def _joined(parts: list[Points]) -> Points:
    return Points(
        np.concatenate([part.values_s for part in parts]),
        np.concatenate([part.request for part in parts]),
        np.concatenate([part.at_s for part in parts]),
    )


def plain(text: str) -> str:
    """`text` as plotly shows it letter by letter: no pseudo-HTML, entity, template or newline."""
    exchanged = text.translate({ord("<"): "‹", ord(">"): "›", ord("&"): "＆", ord("\n"): " "})
    shown = visible(exchanged.replace("%{", "% {"))
    return shown if len(shown) <= MAX_LABEL else shown[: MAX_LABEL - 1] + "…"


def slowest(data: RunData, limit: int = 20) -> IntArray:
    """Indices of the requests in the window that took longest, due to end, worst first."""
    took_s = np.where(data.in_window, data.finished_s - data.origin_s, np.nan)
    order = np.argsort(-took_s, kind="stable")  # NaN comes last
    return order[: min(limit, int(np.count_nonzero(~np.isnan(took_s))))]
