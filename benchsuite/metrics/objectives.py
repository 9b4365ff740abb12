"""Objectives: limits on what a request may take, as numbers or as functions of the request.

A pair of numbers is no SLO: whether each request is judged, or a percentile of them, together or
one by one, by `<` or `<=`, changes who passes.
"""

from typing import Final, Literal

import numpy as np
from msgspec import Struct

from benchsuite.records.table import BoolArray, FloatArray, RunData
from benchsuite.spec import Seconds, Spec

At = Literal["request", "mean", "p50", "p90", "p95", "p99", "p999"]
SHARES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""At a percentile a limit is kept if so large a share of the requests (or tokens) keep it."""


class Line(Spec, frozen=True):
    """A limit that depends on the request: the sum of its parts."""

    base: Seconds = 0.0  # whatever the request
    per_prompt_token: Seconds = 0.0  # times its prompt tokens
    per_output_token: Seconds = 0.0  # times its output tokens
    per_image: Seconds = 0.0  # times its images

    def __str__(self) -> str:
        parts = (
            ("", self.base),
            (" per prompt token", self.per_prompt_token),
            (" per output token", self.per_output_token),
            (" per image", self.per_image),
        )
        return " + ".join(f"{value * 1e3:,.6g} ms{of}" for of, value in parts if value) or "0 ms"

    def times(self, factor: float) -> "Line":
        return Line(
            self.base * factor,
            self.per_prompt_token * factor,
            self.per_output_token * factor,
            self.per_image * factor,
        )


Limit = Seconds | Line


class Pace(Spec, frozen=True):
    """When a reader wants each token: the first one `first` after due, each later one `gap` on."""

    first: Limit  # until the first token
    gap: Seconds  # between tokens; 1 / gap is the speed of reading, in tokens/s

    def __post_init__(self) -> None:
        if not self.gap:
            raise ValueError("gap must be longer than 0")


class Idle(Spec, frozen=True):
    """What one request takes on the idle server, for limits that are a slowdown against it."""

    ttft: Limit
    itl: Seconds
    e2e_latency: Limit


class Objective(Struct, frozen=True, kw_only=True):
    """One limit on one metric."""

    metric: str
    limit: float | Line  # seconds; of fluidity and qoe the least share
    at: At = "request"  # judged for each request, or over all of a class
    is_least: bool = False  # met at or above the limit, not at or below
    is_strict: bool = False  # a value at the limit misses it

    @property
    def rule(self) -> str:
        """In words; "" for the usual one, a value of at most so many seconds."""
        if self.is_least:
            return f"{'>' if self.is_strict else '≥'} {self.limit}"
        if isinstance(self.limit, Line) or self.is_strict:
            limit = self.limit if isinstance(self.limit, Line) else Line(base=self.limit)
            return f"{'<' if self.is_strict else '≤'} {limit}"
        return ""

    def met(self, values: FloatArray, limits: FloatArray) -> BoolArray:
        """Which values keep to their limits; NaN does not."""
        if self.is_least:
            values, limits = -values, -limits
        return values < limits if self.is_strict else values <= limits


def limits(limit: float | Line, data: RunData) -> FloatArray:
    """The limit of each request, [n]."""
    if not isinstance(limit, Line):
        return np.full(len(data), limit)
    found: FloatArray = (
        limit.base
        + limit.per_prompt_token * data.prompt_tokens
        + limit.per_output_token * data.output_tokens
        + limit.per_image * data.num_images
    )
    return found
