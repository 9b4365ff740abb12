"""Grades of a request that asked for several answers, as they stand in a record and as columns."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray


class Grade(Struct, frozen=True):
    """What became of one of the answers."""

    question: int  # whoever asks it again gives it this number
    correct: bool
    answer: str  # what the grader took for it


GRADES: Final = pa.list_(
    pa.struct([("question", pa.int64()), ("correct", pa.bool_()), ("answer", pa.string())])
)


class Grades(NamedTuple):
    """Graded answers of a run as columns, in the order of their requests."""

    request: NDArray[np.int64]  # [grades]; index of the request that asked, ascending
    question: NDArray[np.int64]  # [grades]; -1: asked once, by one request
    is_right: NDArray[np.bool_]  # [grades]
    answer: tuple[str, ...]  # [grades]

    def of(self, chosen: NDArray[np.bool_]) -> "Grades":
        """Those of the chosen requests, [n]."""
        kept = np.flatnonzero(chosen[self.request])
        answer = tuple(self.answer[i] for i in kept.tolist())
        return Grades(self.request[kept], self.question[kept], self.is_right[kept], answer)


def columns(rows: Sequence[Sequence[dict[str, Any]]]) -> Grades | None:
    """Of the column `grades`; None where it is empty."""
    flat = [each for row in rows for each in row]
    if not flat:
        return None
    request = np.repeat(np.arange(len(rows)), list(map(len, rows)))
    return Grades(
        request,
        np.array([each["question"] for each in flat], dtype=np.int64),
        np.array([each["correct"] for each in flat], dtype=np.bool_),
        tuple(each["answer"] for each in flat),
    )
