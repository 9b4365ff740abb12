"""Schedule: who is sent when. Pure: the same (scenario, seed) gives the same schedule anywhere.

Every due time and length is drawn here, before the first byte is sent. Worker k of n sends every
n-th session (`part`); the union over workers is the whole schedule.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, repeat

import msgspec
import numpy as np

from benchsuite.arrivals import (
    Arrivals,
    ClosedLoop,
    Hawkes,
    Ramp,
    RateSeries,
    Timestamps,
    Users,
)
from benchsuite.arrivals.base import FloatArray
from benchsuite.errors import ScenarioError
from benchsuite.request import Request, Session
from benchsuite.scenario import Limits, Scenario
from benchsuite.streams import rng
from benchsuite.workloads import Mix
from benchsuite.workloads.tokenizer import Tokenizer

DIGEST_SESSIONS = 10_000  # looked at, since there may be no end of them
DIGEST_PROMPTS = 16  # written out, which takes long
FIRST_DRAW = 256  # due times drawn at first when only a duration is known; doubled until it is full


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Sessions in the order in which they are due.

    `due_s[i]` is when the i-th session is due, in seconds from the start of the run; None in a
    closed loop, where a session is sent as soon as one of `concurrency` slots is free.
    """

    draw: Callable[[], Iterator[Session]]  # the same sessions at every call; may be endless
    due_s: tuple[float, ...] | None
    concurrency: int | None
    num_requests: int | None  # None: only the duration ends it, or agents end when they like
    end_s: float | None  # when a duration ends the issuing; None: the requests run out before
    # Users with time to think: when each slot's first session is due, and how long after the end of
    # a session its user's next one is.
    slot_due_s: tuple[float, ...] | None = None
    think_s: Callable[[Session], float] | None = None
    notes: tuple[str, ...] = ()  # what a result must say about the times

    def __iter__(self) -> Iterator[tuple[float | None, Session]]:
        """(due_s, session) in order."""
        return zip(repeat(None) if self.due_s is None else self.due_s, self.draw(), strict=False)

    def part(self, worker: int, num_workers: int) -> "Schedule":
        """What worker `worker` of `num_workers` sends: every num_workers-th session."""
        if num_workers == 1:
            return self
        due_s, concurrency, num_requests = self.due_s, self.concurrency, self.num_requests
        slot_due_s = self.slot_due_s
        assert (concurrency or num_workers) >= num_workers, "a worker without a slot sends nothing"

        def draw() -> Iterator[Session]:
            return islice(self.draw(), worker, None, num_workers)

        return replace(
            self,
            draw=draw,
            due_s=None if due_s is None else due_s[worker::num_workers],
            concurrency=concurrency and len(range(worker, concurrency, num_workers)),
            num_requests=num_requests and sum(len(session.requests) for session in draw()),
            slot_due_s=None if slot_due_s is None else slot_due_s[worker::num_workers],
        )

    def digest(self) -> str:
        """Equal where the same would be sent: of due times, lengths, and some prompts' words."""
        whole = (self.due_s, self.concurrency, self.num_requests, self.end_s, self.slot_due_s)
        found = hashlib.blake2b(repr(whole).encode(), digest_size=16)
        for at, session in enumerate(islice(self.draw(), DIGEST_SESSIONS)):
            asked = [_asked(request) for request in session.requests]
            think_s = None if self.think_s is None else self.think_s(session)
            when = (think_s, session.gaps_s, session.earliest_s, session.after)
            found.update(repr((session.id, when, asked)).encode())
            if at < DIGEST_PROMPTS:
                found.update(repr(session.requests[0].prompt.render()).encode())
        return found.hexdigest()

    def describe(self) -> str:
        """For people: how many requests, and when."""
        if self.due_s is None:
            count = "any number of" if self.num_requests is None else str(self.num_requests)
            at_a_time = "at a time" if self.think_s is None else "users"
            return f"{count} requests, {self.concurrency} {at_a_time}"
        return f"{self.num_requests} requests over {self.due_s[-1]:.1f} s"

    @staticmethod
    def plan(scenario: Scenario, tokenizer: Tokenizer) -> "Schedule":
        """Draw everything. Raises ScenarioError if nothing bounds the run or nothing is left."""
        limits, arrivals = scenario.limits, scenario.arrivals
        tokenizer = tokenizer.salted(scenario.salt)
        if isinstance(arrivals, ClosedLoop):
            return _closed_loop(scenario, tokenizer, arrivals.concurrency)
        if isinstance(arrivals, Users):
            return _users(scenario, tokenizer, arrivals)
        if limits.duration is None and not _ends(arrivals):
            _refuse_endless(scenario)
        within, due_s, end_s = _open_loop(scenario, _sessions(scenario, tokenizer))
        notes: tuple[str, ...] = ()
        if isinstance(arrivals, Timestamps):
            notes = arrivals.notes(np.array([session.start_s for session in within], np.float64))
        return replace(_bounded(within, tuple(due_s.tolist()), None, end_s), notes=notes)


def _sessions(scenario: Scenario, tokenizer: Tokenizer) -> Iterator[Session]:
    """What is asked, in order; the arrivals say of which class where they know."""
    arrivals, workload = scenario.arrivals, scenario.workload
    if not (isinstance(arrivals, Hawkes) and arrivals.classes):
        return workload.sessions(tokenizer, scenario.seed)
    if not isinstance(workload, Mix):
        raise ScenarioError("arrivals.classes: expected a workload of type mix with those parts")
    if unknown := sorted(arrivals.classes.keys() - workload.parts.keys()):
        known = ", ".join(workload.parts)
        raise ScenarioError(f"arrivals.classes: {unknown[0]!r} is no part of the mix ({known})")
    marks = arrivals.marks(rng(scenario.seed, "arrivals"))
    return workload.of_classes(marks, tokenizer, scenario.seed)


def _closed_loop(scenario: Scenario, tokenizer: Tokenizer, concurrency: int) -> Schedule:
    limits = scenario.limits
    if limits.requests is None and limits.duration is not None:
        return Schedule(
            draw=lambda: _sessions(scenario, tokenizer),
            due_s=None,
            concurrency=concurrency,
            num_requests=None,
            end_s=limits.duration,
        )
    _refuse_endless(scenario)
    bounded = tuple(_until(_sessions(scenario, tokenizer), limits.requests))
    return _bounded(bounded, None, concurrency, limits.duration)


def _users(scenario: Scenario, tokenizer: Tokenizer, arrivals: Users) -> Schedule:
    def think_s(session: Session) -> float:
        return arrivals.think_s(rng(scenario.seed, "think", session.id))

    return replace(
        _closed_loop(scenario, tokenizer, arrivals.users),
        slot_due_s=tuple(map(arrivals.first_due_s, range(arrivals.users))),
        think_s=think_s,
    )


def _ends(arrivals: Arrivals) -> bool:
    """Whether the arrivals end by themselves."""
    is_finite = isinstance(arrivals, RateSeries) and not arrivals.repeat
    return is_finite or isinstance(arrivals, Ramp)


def _asked(request: Request) -> tuple[object, ...]:
    """What is asked of the server, but for the words."""
    told = (request.slo_class, request.priority, request.tenant, request.model)
    return (request.id, request.prompt_tokens, request.max_output_tokens, *told)


def _bounded(
    sessions: tuple[Session, ...],
    due_s: tuple[float, ...] | None,
    concurrency: int | None,
    end_s: float | None,
) -> Schedule:
    if not sessions:
        raise ScenarioError("the schedule is empty: no session is due within the limits")
    may_end_early = any(session.box is not None for session in sessions)
    return Schedule(
        draw=lambda: iter(sessions),
        due_s=due_s,
        concurrency=concurrency,
        num_requests=None if may_end_early else sum(len(one.requests) for one in sessions),
        end_s=end_s,
    )


def _refuse_endless(scenario: Scenario) -> None:
    if scenario.limits.requests is None and scenario.workload.is_endless:
        raise ScenarioError("limits: this workload never ends; give `requests` or `duration`")


def _open_loop(
    scenario: Scenario, sessions: Iterator[Session]
) -> tuple[tuple[Session, ...], FloatArray, float | None]:
    """The sessions that are due within the limits, when, and the duration if it ended them.

    Draws in growing numbers until something ends.
    """
    duration = scenario.limits.duration
    drawn: list[Session] = []
    if isinstance(scenario.arrivals, Timestamps) and scenario.arrivals.quantum:
        drawn.extend(sessions)  # those of one step of the trace's clock share it
    num = max(FIRST_DRAW, len(drawn) + 1)
    while True:
        drawn.extend(islice(sessions, num - len(drawn)))
        due_s = _due_times(scenario, drawn)
        within = _within(scenario.limits, drawn, due_s)
        if len(within) < num:  # the workload, the arrivals or a limit ended before
            cut = duration is not None and len(within) == np.count_nonzero(due_s < duration)
            is_cut = cut and len(within) < len(due_s)
            return within, due_s[: len(within)], duration if is_cut else None
        num *= 2


def _within(limits: Limits, drawn: list[Session], due_s: FloatArray) -> tuple[Session, ...]:
    if limits.duration is not None:
        due_s = due_s[due_s < limits.duration]
    return tuple(_until(iter(drawn[: len(due_s)]), limits.requests))


def _due_times(scenario: Scenario, sessions: list[Session]) -> FloatArray:
    starts_s = [session.start_s for session in sessions]
    recorded_s = None
    if all(start_s is not None for start_s in starts_s):
        recorded_s = np.asarray(starts_s, dtype=np.float64)
    generator = rng(scenario.seed, "arrivals")
    due_s = scenario.arrivals.due_times(len(sessions), generator, recorded_s)
    assert due_s is not None, "only a closed loop has no due times"
    assert np.all(np.diff(due_s) >= 0), "due times ascend"
    return due_s


def _until(sessions: Iterator[Session], num_requests: int | None) -> Iterator[Session]:
    """Sessions until `num_requests` requests; the last one may be cut short."""
    left = num_requests
    for session in sessions:
        if left is None:
            yield session
            continue
        if left <= 0:
            return
        kept = session.requests[:left]
        left -= len(kept)
        yield session if len(kept) == len(session.requests) else _cut(session, len(kept))


def _cut(session: Session, num_requests: int) -> Session:
    return msgspec.structs.replace(
        session,
        requests=session.requests[:num_requests],
        gaps_s=session.gaps_s[: num_requests - 1],
        earliest_s=session.earliest_s[: num_requests - 1],
        after=session.after and session.after[: num_requests - 1],
        fresh=tuple(turn for turn in session.fresh if turn < num_requests),
    )
