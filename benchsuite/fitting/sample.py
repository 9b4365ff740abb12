"""A workload as a sample: when its sessions came, of which class, how long their requests were."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from benchsuite import streams
from benchsuite.arrivals import Timestamps
from benchsuite.arrivals.base import FloatArray, IntArray
from benchsuite.arrivals.timestamps import quantum_s
from benchsuite.errors import ScenarioError
from benchsuite.fitting.base import Events
from benchsuite.request import Session
from benchsuite.workloads.description import spearman

FEWEST: Final = 50  # sessions; fewer say little about any family


class Lengths(NamedTuple):
    """Of all requests of one class, in order."""

    prompt_tokens: IntArray
    output_tokens: IntArray

    @property
    def rank_correlation(self) -> float:
        """Spearman's rho, ties by their mean rank; 0 where one of the two is always the same."""
        tokens = (self.prompt_tokens.astype(np.float64), self.output_tokens.astype(np.float64))
        return spearman(*tokens) or 0.0


class Sample(NamedTuple):
    events: Events
    lengths: dict[str, Lengths]  # by class, in the order of events.names
    notes: tuple[str, ...]  # what was done to the times, to be said


def sample(sessions: Iterable[Session], quantum: float | None, seed: int) -> Sample:
    """Times in steps of a coarse clock are spread evenly within a step: `quantum` seconds, or what
    the times themselves show. Raises ScenarioError where sessions have no times, or are few."""
    kept = list(sessions)
    if len(kept) < FEWEST or any(session.start_s is None for session in kept):
        raise ScenarioError(
            f"expected at least {FEWEST} sessions with recorded times, found {len(kept)}"
        )
    at_s, notes = _spread(
        np.array([session.start_s for session in kept], np.float64), quantum, seed
    )
    classes = [session.requests[0].slo_class for session in kept]
    names = tuple(sorted(set(classes)))
    kind = np.array([names.index(name) for name in classes], np.int64)
    lengths = {name: _lengths(kept, name) for name in names}
    return Sample(Events(at_s, kind, names), lengths, notes)


def _lengths(sessions: list[Session], name: str) -> Lengths:
    requests = [one for session in sessions for one in session.requests if one.slo_class == name]
    prompts = np.array([one.prompt_tokens for one in requests], np.int64)
    return Lengths(prompts, np.array([one.max_output_tokens for one in requests], np.int64))


def _spread(
    recorded_s: FloatArray, quantum: float | None, seed: int
) -> tuple[FloatArray, tuple[str, ...]]:
    """Strictly ascending times from 0, and what was done to get them."""
    step_s = quantum_s(recorded_s) if quantum is None else quantum
    notes: list[str] = []
    if step_s:
        spread = Timestamps(quantum=step_s)
        notes += spread.notes(recorded_s)
        recorded_s = spread.due_times(len(recorded_s), streams.rng(seed, "spread"), recorded_s)
    gaps_s = np.diff(recorded_s)
    num_equal = int(np.count_nonzero(gaps_s == 0))
    if num_equal == len(gaps_s):
        raise ScenarioError("all sessions came at one time: there is nothing to fit")
    if num_equal:
        least_s = float(gaps_s[gaps_s > 0].min()) / 2
        gaps_s = np.maximum(gaps_s, least_s)
        notes.append(f"{num_equal} gaps of 0 s became {least_s:g} s, half of the shortest other")
    return np.concatenate(([0.0], np.cumsum(gaps_s))), tuple(notes)
