"""Schedules: pure, bounded, the same everywhere, and split without a rest."""

import dataclasses
import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.closed_loop import ClosedLoop
from benchsuite.arrivals.constant import Constant
from benchsuite.arrivals.diurnal import Diurnal
from benchsuite.arrivals.gamma import Gamma
from benchsuite.arrivals.hawkes import Hawkes, HawkesClass
from benchsuite.arrivals.mmpp import Mmpp, MmppState
from benchsuite.arrivals.poisson import Poisson
from benchsuite.arrivals.ramp import Ramp, RatePoint
from benchsuite.arrivals.rate_series import RateSeries
from benchsuite.arrivals.timestamps import Timestamps
from benchsuite.arrivals.users import Users
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.errors import ScenarioError
from benchsuite.loadgen import schedule as module
from benchsuite.loadgen.schedule import Schedule
from benchsuite.request import Message, Scripted, Session
from benchsuite.scenario import Limits, Scenario
from benchsuite.streams import rng
from benchsuite.workloads import Workload, tokenizer
from benchsuite.workloads.formats import Jsonl
from benchsuite.workloads.lengths import Fixed, LogNormal, Uniform
from benchsuite.workloads.mix import Mix, Part
from benchsuite.workloads.servegen import ServeGen
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tokenizer import Tokenizer
from benchsuite.workloads.trace import Slice, Trace

ENDPOINT = OpenAIChat(url="http://127.0.0.1:1", model="m")
SYNTHETIC = Synthetic(
    prompt_tokens=LogNormal(median=50, sigma=1.0, max=500), output_tokens=Uniform(low=1, high=9)
)
CHAT = Synthetic(prompt_tokens=Fixed(value=9), output_tokens=Fixed(value=1))
BATCH = Synthetic(prompt_tokens=Fixed(value=30), output_tokens=Fixed(value=2))
MIX = Mix(parts={"chat": Part(CHAT, weight=3, priority=0), "batch": Part(BATCH, priority=5)})
CAUSES = Hawkes(
    rate=10,
    memory=0.5,
    classes={"batch": HawkesClass(1, {"batch": 0.8}), "chat": HawkesClass(1, {"batch": 0.1})},
)
POOL = Path(__file__).parents[2] / "data" / "servegen_reason.jsonl"

TURNS = 3  # requests of each session in the trace below

RATES = st.floats(2, 20)
OPEN: st.SearchStrategy[Arrivals] = st.one_of(
    st.builds(Constant, rate=RATES),
    st.builds(Poisson, rate=RATES),
    st.builds(Gamma, rate=RATES, burstiness=st.floats(0.3, 10)),
    st.builds(Diurnal, rate=RATES, amplitude=st.floats(0, 0.5), period=st.floats(1, 9)),
    st.builds(
        lambda rate: Mmpp(states=(MmppState(1, 0.5), MmppState(5, 0.5)), rate=rate),
        st.floats(10, 20),
    ),
    st.builds(Hawkes, rate=st.floats(10, 20), memory=st.just(0.5), branching=st.floats(0, 0.5)),
    st.builds(
        lambda rate, at: Ramp(points=(RatePoint(at=0, rate=rate), RatePoint(at=at, rate=rate))),
        st.floats(5, 50),
        st.floats(10, 60),  # at least 50 sessions on the average: never none
    ),
)


@cache
def bundled() -> Tokenizer:
    return tokenizer.load("bundled")


def planned(
    arrivals: Arrivals, *, workload: Workload = SYNTHETIC, seed: int = 1, **limits: Any
) -> Schedule:
    scenario = Scenario(
        name="s",
        seed=seed,
        endpoint=ENDPOINT,
        workload=workload,
        arrivals=arrivals,
        limits=Limits(**limits),
    )
    return Schedule.plan(scenario, bundled())


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """20 sessions of three turns, one every half second."""
    rows = [
        f'{{"session_id": {index}, "prompt_tokens": {10 * (turn + 1)}, "output_tokens": 5, '
        + (f'"gap_s": {turn}}}' if turn else f'"arrival_s": {index / 2}}}')
        for index in range(20)
        for turn in range(TURNS)
    ]
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(rows))
    return Trace(source=Jsonl(path=str(path)))


def ids(schedule: Schedule) -> list[int]:
    return [request.id for _, session in schedule for request in session.requests]


@given(arrivals=OPEN, duration=st.floats(20, 40), seed=st.integers(0, 2**40))
def test_due_times_ascend_below_the_duration(
    arrivals: Arrivals, duration: float, seed: int
) -> None:
    """Nothing is due at or after the end, nothing before the start; ids count up from 0."""
    plan = planned(arrivals, seed=seed, duration=duration)
    assert plan.due_s is not None
    assert all(0 <= due_s < duration for due_s in plan.due_s)
    assert list(plan.due_s) == sorted(plan.due_s)
    assert len(plan.due_s) == plan.num_requests
    assert ids(plan) == list(range(len(plan.due_s)))
    assert [session.id for _, session in plan] == ids(plan)


@given(arrivals=OPEN, requests=st.integers(1, 600))
def test_as_many_requests_as_asked(arrivals: Arrivals, requests: int) -> None:
    """Exactly `requests`, unless the arrivals end before."""
    plan = planned(arrivals, requests=requests)
    assert plan.num_requests == len(ids(plan))
    if not isinstance(arrivals, Ramp):
        assert plan.num_requests == requests


@given(arrivals=OPEN, requests=st.integers(1, 600), duration=st.floats(20, 40))
def test_both_limits(arrivals: Arrivals, requests: int, duration: float) -> None:
    """Whichever ends first: the schedule of both is the shorter of the two."""
    timed = planned(arrivals, duration=duration).due_s
    counted = planned(arrivals, requests=requests).due_s
    assert timed is not None
    assert counted is not None
    both = planned(arrivals, requests=requests, duration=duration).due_s
    assert both == min(timed, counted, key=len)


@given(arrivals=OPEN, duration=st.floats(20, 40))
def test_twice_as_long_starts_the_same(arrivals: Arrivals, duration: float) -> None:
    """A longer run is the shorter one and what comes after."""
    short = planned(arrivals, duration=duration)
    long = planned(arrivals, duration=2 * duration)
    assert short.due_s is not None
    assert long.due_s is not None
    assert long.due_s[: len(short.due_s)] == short.due_s
    assert [s for _, s in long][: len(short.due_s)] == [s for _, s in short]


@pytest.mark.parametrize("first_draw", [1, 3, 256, 10_000])
def test_the_first_draw_decides_nothing(first_draw: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many sessions are drawn at a time is nobody's business."""
    expected = planned(Poisson(rate=20), duration=30)
    monkeypatch.setattr(module, "FIRST_DRAW", first_draw)
    found = planned(Poisson(rate=20), duration=30)
    assert found.due_s == expected.due_s
    assert list(found) == list(expected)


@settings(max_examples=20)
@given(first=OPEN, second=OPEN | st.builds(ClosedLoop, concurrency=st.integers(1, 9)))
def test_arrivals_leave_texts_alone(first: Arrivals, second: Arrivals) -> None:
    """Two rates, or two ways to arrive, ask the same questions: only their times differ."""
    left, right = planned(first, requests=8), planned(second, requests=8)
    num = min(len(ids(left)), len(ids(right)))
    for (_, one), (_, other) in list(zip(left, right, strict=False))[:num]:
        assert one == other
        assert one.requests[0].prompt.render() == other.requests[0].prompt.render()


def test_lengths_leave_due_times_alone() -> None:
    """Changing what is asked does not move when it is asked."""
    other = Synthetic(prompt_tokens=Fixed(value=7), output_tokens=Fixed(value=1))
    assert planned(Gamma(rate=5, burstiness=0.3), duration=20).due_s == (
        planned(Gamma(rate=5, burstiness=0.3), workload=other, duration=20).due_s
    )


@given(
    arrivals=OPEN | st.builds(ClosedLoop, concurrency=st.integers(12, 99)),
    requests=st.integers(1, 60),
    num_workers=st.integers(1, 12),
)
def test_parts_make_the_whole(arrivals: Arrivals, requests: int, num_workers: int) -> None:
    """Every session is in one part, in order, when it is due in the whole."""
    whole = planned(arrivals, requests=requests)
    parts = [whole.part(worker, num_workers) for worker in range(num_workers)]
    together = [pair for part in parts for pair in part]
    assert sorted(together, key=lambda pair: pair[1].id) == list(whole)
    assert sum(part.num_requests or 0 for part in parts) == whole.num_requests
    for part in parts:
        assert ids(part) == sorted(ids(part))
        assert part.num_requests == len(ids(part))


@given(concurrency=st.integers(1, 300), num_workers=st.integers(1, 300))
def test_slots_are_shared_out(concurrency: int, num_workers: int) -> None:
    """All slots, as evenly as can be; more workers than slots is a mistake of ours."""
    whole = planned(ClosedLoop(concurrency=concurrency), duration=10)
    if num_workers > concurrency:
        with pytest.raises(AssertionError, match="without a slot"):
            whole.part(0, num_workers)
        return
    slots = [whole.part(worker, num_workers).concurrency or 0 for worker in range(num_workers)]
    assert sum(slots) == concurrency
    assert max(slots) - min(slots) <= 1


def test_a_closed_loop_has_no_due_times() -> None:
    """Sessions up to the number of requests; with a duration alone they never run out."""
    plan = planned(ClosedLoop(concurrency=3), requests=7)
    assert [due_s for due_s, _ in plan] == [None] * 7
    assert plan.describe() == "7 requests, 3 at a time"
    endless = planned(ClosedLoop(concurrency=3), duration=7)
    assert endless.num_requests is None
    assert endless.describe() == "any number of requests, 3 at a time"
    drawn = [session.id for _, (_, session) in zip(range(1000), endless, strict=False)]
    assert drawn == list(range(1000))
    part = endless.part(1, 3)
    assert part.num_requests is None
    assert [s.id for _, (_, s) in zip(range(3), part, strict=False)] == [1, 4, 7]


@pytest.mark.parametrize(("requests", "kept"), [(1, [1]), (3, [3]), (4, [3, 1]), (8, [3, 3, 2])])
def test_the_last_session_is_cut(trace: Trace, requests: int, kept: list[int]) -> None:
    """`requests` counts turns; a cut session keeps its first turns and the gaps between them."""
    for arrivals in (Timestamps(), Poisson(rate=1), ClosedLoop(concurrency=2)):
        plan = planned(arrivals, workload=trace, requests=requests)
        sessions = [session for _, session in plan]
        assert plan.num_requests == requests
        assert ids(plan) == list(range(requests))
        assert [len(session.requests) for session in sessions] == kept
        assert [len(session.gaps_s) for session in sessions] == [num - 1 for num in kept]
        assert sessions[-1].gaps_s == (1.0, 2.0)[: kept[-1] - 1]


def test_a_trace_keeps_its_times(trace: Trace) -> None:
    """At the recorded times, or `speed` times as fast; `duration` is the run's, not the trace's."""
    assert planned(Timestamps(), workload=trace).due_s == tuple(i / 2 for i in range(20))
    fast = Timestamps(speed=4)
    assert planned(fast, workload=trace).due_s == tuple(i / 8 for i in range(20))
    assert planned(fast, workload=trace, duration=1).due_s == tuple(i / 8 for i in range(8))
    assert planned(fast, workload=trace, requests=9).due_s == (0, 1 / 8, 2 / 8)


def test_a_trace_can_come_otherwise(trace: Trace) -> None:
    """Its sessions in its order at other times; the workload ends the run, not the rate."""
    plan = planned(Constant(rate=10), workload=trace, duration=100)
    assert plan.due_s == tuple(i / 10 for i in range(20))
    assert plan.num_requests == 20 * TURNS


def test_a_slice_of_a_trace_begins_at_zero(trace: Trace) -> None:
    """The first session of a slice is due as long after the start as it is in the slice."""
    cut = Trace(source=trace.source, slice=Slice(start=2.25, duration=2.0))
    assert planned(Timestamps(), workload=cut).due_s == (0.25, 0.75, 1.25, 1.75)


@pytest.mark.parametrize("arrivals", [Poisson(rate=1), Constant(rate=1), ClosedLoop(concurrency=1)])
def test_what_never_ends_is_refused(arrivals: Arrivals) -> None:
    """Something has to end a run; the message says what can."""
    with pytest.raises(ScenarioError, match=r"limits: .* never ends; give `requests` or"):
        planned(arrivals)


def test_what_never_starts_is_refused(trace: Trace) -> None:
    """A schedule without a session."""
    with pytest.raises(ScenarioError, match="the schedule is empty"):
        planned(Poisson(rate=0.001), duration=0.01)
    late = Trace(source=trace.source, slice=Slice(start=0.25))
    with pytest.raises(ScenarioError, match="the schedule is empty"):
        planned(Timestamps(), workload=late, duration=0.25)


def test_timestamps_need_recorded_times() -> None:
    """The message names arrivals that do without."""
    with pytest.raises(ScenarioError, match=r"needs a workload with recorded times.*poisson"):
        planned(Timestamps(), requests=5)


def digest(plan: Schedule) -> str:
    """Of due times, ids, lengths, texts and request bodies."""
    found = hashlib.sha256()
    for due_s, session in plan:
        found.update(repr((due_s, session.id, session.gaps_s, session.start_s)).encode())
        for request in session.requests:
            rendered = request.prompt.render()
            found.update(repr((request.id, request.prompt_tokens, rendered.prompt_tokens)).encode())
            found.update(ENDPOINT.body(request, rendered.messages))
            found.update(repr((request.slo_class, request.priority, request.tenant)).encode())
    return found.hexdigest()


def digests(path: str) -> list[str]:
    """Of a synthetic schedule, of a trace with three copies of every session, of a mix whose
    classes cause each other, and of a pool of clients."""
    trace = Trace(source=Jsonl(path=path), rate_scale=2.5, token_scale=1.5)
    return [
        digest(planned(Gamma(rate=10, burstiness=0.5), duration=4)),
        digest(planned(Timestamps(speed=2), workload=trace)),
        digest(planned(CAUSES, workload=MIX, duration=4)),
        digest(planned(Timestamps(), workload=ServeGen(path=str(POOL), duration=43_000))),
    ]


def test_the_same_in_another_process(trace: Trace) -> None:
    """Times, lengths, texts and bodies to the byte, whatever Python's hash seed is."""
    code = (
        "import sys; from tests.benchsuite.loadgen.test_schedule import digests;"
        "print(*digests(sys.argv[1]))"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", code, trace.source.path],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert drawn == {" ".join(digests(trace.source.path))}


def test_another_seed_is_another_schedule() -> None:
    """Times, lengths and texts all change."""
    left, right = (list(planned(Poisson(rate=5), seed=seed, requests=20)) for seed in (1, 2))
    assert [due_s for due_s, _ in left] != [due_s for due_s, _ in right]
    for length in ("prompt_tokens", "max_output_tokens"):
        drawn = [[getattr(s.requests[0], length) for _, s in one] for one in (left, right)]
        assert drawn[0] != drawn[1]
    texts = [one[0][1].requests[0].prompt.render().messages for one in (left, right)]
    assert texts[0] != texts[1]


def test_a_ramp_ends_by_itself() -> None:
    """It needs no limits, however long its workload is."""
    ramp = Ramp(points=(RatePoint(at=0, rate=10), RatePoint(at=5, rate=10)), spacing="even")
    scenario = Scenario(name="s", endpoint=ENDPOINT, workload=SYNTHETIC, arrivals=ramp)
    schedule = Schedule.plan(scenario, tokenizer.load("bundled"))
    assert schedule.num_requests == 50


def test_a_digest_tells_schedules_apart() -> None:
    """Equal for equal scenarios; any change of when, of what, or of the words alone is seen."""
    one = planned(Poisson(rate=10), requests=20)
    assert one.digest() == planned(Poisson(rate=10), requests=20).digest()
    longer = replace(SYNTHETIC, output_tokens=Fixed(value=9))
    others = (
        planned(Poisson(rate=10), requests=20, seed=2),
        planned(Poisson(rate=11), requests=20),
        planned(Poisson(rate=10), requests=21),
        planned(Poisson(rate=10), requests=20, workload=longer),
        dataclasses.replace(one, draw=lambda: map(_shouted, one.draw())),
    )
    assert len({one.digest(), *(other.digest() for other in others)}) == 6


def _shouted(session: Session) -> Session:
    first, *rest = session.requests
    rendered = first.prompt.render()
    text = str(rendered.messages[0].content).upper()
    prompt = Scripted((Message("user", text),), rendered.prompt_tokens)
    return replace(session, requests=(replace(first, prompt=prompt), *rest))


def classes(plan: Schedule) -> list[str]:
    return [session.requests[0].slo_class for _, session in plan]


def test_arrivals_with_classes_say_which_part_comes_next() -> None:
    """Times and classes are those of one draw of the process; the weights are not asked."""
    arrivals = CAUSES
    plan = planned(arrivals, workload=MIX, duration=30)
    marks = arrivals.marks(rng(1, "arrivals"))
    assert classes(plan) == [next(marks) for _ in range(plan.num_requests or 0)]
    assert classes(plan).count("batch") > classes(plan).count("chat")
    twice = planned(arrivals, workload=MIX, duration=60)
    assert classes(twice)[: len(classes(plan))] == classes(plan)


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        (CHAT, "expected a workload of type mix"),
        (Mix(parts={"chat": Part(CHAT)}), "'batch' is no part of the mix"),
    ],
)
def test_classes_must_be_parts(workload: Workload, message: str) -> None:
    """The user's mistake, in words."""
    arrivals = Hawkes(rate=1, memory=1, classes={"chat": HawkesClass(), "batch": HawkesClass()})
    with pytest.raises(ScenarioError, match=message):
        planned(arrivals, workload=workload, requests=5)


def test_a_finite_rate_series_ends_by_itself() -> None:
    """As a ramp does; one that repeats needs a limit."""
    assert planned(RateSeries(step=5, rates=(10, 20))).num_requests
    with pytest.raises(ScenarioError, match="never ends"):
        planned(RateSeries(step=5, rates=(10, 20), repeat=True))


def test_users_keep_their_thinking_however_the_work_is_split() -> None:
    """Slots, their first due times and the thinking after each session are the whole's."""
    whole = planned(Users(users=5, think=2), requests=20)
    assert whole.slot_due_s == (0, 0.4, 0.8, 1.2, 1.6)
    assert whole.due_s is None
    assert whole.think_s is not None
    assert whole.describe() == "20 requests, 5 users"
    parts = [whole.part(worker, 2) for worker in range(2)]
    assert [part.slot_due_s for part in parts] == [(0, 0.8, 1.6), (0.4, 1.2)]
    for part in parts:
        assert part.think_s is not None
        for _, session in part:
            assert part.think_s(session) == whole.think_s(session) > 0
    other = planned(Users(users=5, think=3), requests=20)
    assert other.digest() != whole.digest()


def test_a_coarse_clock_is_spread_alike_in_longer_runs(tmp_path: Path) -> None:
    """Sessions of one step of the trace's clock share it, also those beyond the limit."""
    rows = [f'{{"arrival_s": {i // 40 * 3}, "prompt_tokens": 5, "output_tokens": 1}}'
            for i in range(600)]  # fmt: skip
    path = tmp_path / "coarse.jsonl"
    path.write_text("\n".join(rows))
    trace = Trace(source=Jsonl(path=str(path)))
    spread = Timestamps(quantum=3)
    long, short = (planned(spread, workload=trace, requests=n) for n in (600, 290))
    assert long.due_s is not None
    assert short.due_s == long.due_s[:290]
    assert "spread evenly" in short.notes[0]
    assert "steps of 3 s" in planned(Timestamps(), workload=trace).notes[0]
