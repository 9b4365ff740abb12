"""What would be asked and when, of a scenario or of a trace alone; nothing is sent."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from benchsuite.loadgen.schedule import Schedule
from benchsuite.request import Session
from benchsuite.scenario import load
from benchsuite.workloads import conversion
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.trace import Trace

MOST_SESSIONS: Final = 10_000  # of a workload without end


class Preview(NamedTuple):
    name: str
    notes: tuple[str, ...]
    sessions: tuple[Session, ...]
    starts_s: tuple[float, ...] | None  # of each session; None: nobody knows
    count: Callable[[str], int]  # tokens of a text


def of(target: str, format_name: str, options: Mapping[str, str]) -> Preview:
    """A scenario (.yaml), or a trace of that format; `options` are of the one or the other."""
    if Path(target).suffix in (".yaml", ".yml"):
        return of_scenario(Path(target), [f"{key}={value}" for key, value in options.items()])
    return of_trace(target, format_name, options)


def of_scenario(path: Path, overrides: Sequence[str]) -> Preview:
    """The sessions that a scenario would send; the first ones where only time ends them."""
    scenario = load(path, tuple(overrides))
    tokenizer = tokenizers.load(scenario.tokenizer)
    schedule = Schedule.plan(scenario, tokenizer)
    sessions = tuple(islice(schedule.draw(), MOST_SESSIONS))
    notes = (*scenario.workload.notes(), *schedule.notes)
    if schedule.num_requests is None:
        notes = (*notes, f"without end but for its time: the first {len(sessions):,} sessions")
    starts_s = None if schedule.due_s is None else schedule.due_s[: len(sessions)]
    return Preview(scenario.name, notes, sessions, starts_s, tokenizer.count)


def of_trace(path: str, format_name: str, options: Mapping[str, str]) -> Preview:
    """A trace as recorded, with its own times where it has them; broken rows are counted."""
    trace = Trace(source=conversion.source(format_name, path, options), on_bad_row="skip")
    tokenizer = tokenizers.load("bundled")
    sessions = tuple(trace.sessions(tokenizer, seed=0))
    times = [session.start_s for session in sessions if session.start_s is not None]
    starts_s = tuple(times) if len(times) == len(sessions) else None
    return Preview(Path(path).name, trace.notes(), sessions, starts_s, tokenizer.count)
