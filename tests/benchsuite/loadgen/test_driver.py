"""The driver on virtual time, against a connection that answers after a given time."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from benchsuite.endpoints.base import Exchange, Response
from benchsuite.exchange import NO_CHUNKS, TokenCounter
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.driver import LONG_TOKENS, Driver, Stop
from benchsuite.loadgen.schedule import Schedule
from benchsuite.records.spool import Asked
from benchsuite.request import Message, Request, Scripted, Session
from reference_engine.virtual_time import VirtualTimeLoop

REPLY = "a reply"
T = TypeVar("T")


@dataclass
class FakeServer:
    """Endpoint and connection in one: answers each request after `service_s`."""

    service_s: float = 1.0
    failing: frozenset[int] = frozenset()
    stalled: frozenset[int] = frozenset()
    sent: list[tuple[int, float, str]] = field(default_factory=list)
    most_in_flight: int = 0
    course: list[str] = field(default_factory=list)  # bodies made, answers ended
    _waiting: dict[int, tuple[Exchange, asyncio.Event]] = field(default_factory=dict)

    def body(self, request: Request, messages: tuple[Message, ...]) -> bytes:
        self.course.append(f"made {request.id}")
        return "|".join(str(message.content) for message in messages).encode()

    def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
        return Response(NO_CHUNKS, None, "chunks", "stop", exchange.error_class, exchange.error)

    async def send(self, request_id: int, body: bytes) -> Exchange:
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            request_id=request_id,
            stamp_source="virtual",
            framing="none",
            sent_s=loop.time(),
            http_status=200,
        )
        self.sent.append((request_id, loop.time(), body.decode()))
        ended = asyncio.Event()
        self._waiting[request_id] = (exchange, ended)
        self.most_in_flight = max(self.most_in_flight, len(self._waiting))
        if request_id not in self.stalled:
            loop.call_later(self.service_s, ended.set)
        await ended.wait()
        del self._waiting[request_id]
        if request_id in self.failing:
            exchange.error_class, exchange.error = "reset", "broken"
        exchange.finished_s = loop.time()
        self.course.append(f"ended {request_id}")
        return exchange

    def in_flight(self) -> int:
        return len(self._waiting)

    def abort(self, error_class: str, error: str) -> None:
        for exchange, ended in self._waiting.values():
            exchange.error_class, exchange.error = error_class, error
            ended.set()


class AtOnce(Executor):
    """A thread that has always done its work before anyone looks."""

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def session(
    *request_ids: int,
    prompt_tokens: int = 2,
    gaps_s: tuple[float, ...] = (),
    live: bool = False,
    after: tuple[tuple[int, ...], ...] | None = None,
    fresh: tuple[int, ...] = (),
) -> Session:
    return Session(
        id=request_ids[0],
        requests=tuple(
            Request(
                id=i,
                prompt=Scripted((Message("user", f"ask {i}"),), 2),
                prompt_tokens=prompt_tokens,
                max_output_tokens=4,
            )
            for i in request_ids
        ),
        gaps_s=gaps_s or (0.0,) * (len(request_ids) - 1),
        history="live" if live else "scripted",
        after=after,
        fresh=fresh,
    )


def open_loop(*due: tuple[float, Session]) -> Schedule:
    sessions = tuple(one for _, one in due)
    return Schedule(
        draw=lambda: iter(sessions),
        due_s=tuple(due_s for due_s, _ in due),
        concurrency=None,
        num_requests=sum(len(one.requests) for one in sessions),
        end_s=None,
    )


def closed_loop(concurrency: int, sessions: Iterator[Session]) -> Schedule:
    kept = list(sessions)
    return Schedule(
        draw=lambda: iter(kept),
        due_s=None,
        concurrency=concurrency,
        num_requests=len(kept),
        end_s=None,
    )


def drive(
    server: FakeServer,
    schedule: Schedule,
    *,
    drain_s: float = 1e3,
    issue_for_s: float | None = None,
    stop_at_s: float | None = None,
    cut_at_s: float | None = None,
    threads: Executor | None = None,
) -> list[tuple[Asked, Exchange]]:
    """All rows, in the order in which they ended."""
    rows: list[tuple[Asked, Exchange]] = []

    async def main() -> None:
        stop = Stop()
        loop = asyncio.get_running_loop()
        if stop_at_s is not None:
            loop.call_at(stop_at_s, stop.issuing.set)
        if cut_at_s is not None:
            loop.call_at(cut_at_s, stop.at_once)
        driver = Driver(
            server,  # type: ignore[arg-type]  # the parts of an Endpoint that a driver uses
            server,
            schedule,
            len,
            issue_for_s=issue_for_s,
            drain_s=drain_s,
            stop=stop,
            counters=Counters(),
            threads=threads,
        )
        driver.prepare()
        await driver.drive(10.0, lambda asked, exchange: rows.append((asked, exchange)))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    return rows


def test_an_open_loop_sends_when_due_whatever_is_in_flight() -> None:
    """A slow server does not slow the load down."""
    server = FakeServer(service_s=100.0)
    due = [(0.0, session(0)), (0.5, session(1)), (0.5, session(2)), (3.25, session(3))]
    rows = drive(server, open_loop(*due))
    assert [(i, at_s) for i, at_s, _ in server.sent] == [
        (0, 10.0),
        (1, 10.5),
        (2, 10.5),
        (3, 13.25),
    ]
    assert [asked.due_s for asked, _ in rows] == [10.0, 10.5, 10.5, 13.25]
    assert server.most_in_flight == 4


def test_a_closed_loop_keeps_its_slots_full() -> None:
    """Never more than `concurrency` in flight, and the next goes out as one comes back."""
    server = FakeServer(service_s=2.0)
    rows = drive(server, closed_loop(2, (session(i) for i in range(5))))
    assert [at_s for _, at_s, _ in server.sent] == [10.0, 10.0, 12.0, 12.0, 14.0]
    assert server.most_in_flight == 2
    assert all(asked.due_s is None for asked, _ in rows)


def test_a_closed_loop_with_a_duration_stops_issuing_then() -> None:
    """No session begins after the duration; those that run are waited for."""
    server = FakeServer(service_s=2.0)
    rows = drive(server, closed_loop(1, (session(i) for i in range(100))), issue_for_s=5.0)
    assert [at_s for _, at_s, _ in server.sent] == [10.0, 12.0, 14.0]
    assert all(exchange.error_class is None for _, exchange in rows)


def test_turns_follow_each_other_after_their_gaps() -> None:
    """A later turn is due when its predecessor ended, plus the gap."""
    server = FakeServer(service_s=1.0)
    rows = drive(server, open_loop((0.0, session(0, 1, 2, gaps_s=(0.5, 3.0)))))
    assert [at_s for _, at_s, _ in server.sent] == [10.0, 11.5, 15.5]
    assert [asked.due_s for asked, _ in rows] == [10.0, 11.5, 15.5]
    assert [asked.turn for asked, _ in rows] == [0, 1, 2]


def test_requests_fork_and_join() -> None:
    """Sub-agents run side by side; what waits for several is due when the last of them ended."""
    server = FakeServer(service_s=1.0)
    graph = session(0, 1, 2, 3, 4, gaps_s=(0.5, 2.0, 0.0, 4.0), after=((0,), (0,), (1,), (3, 2)))
    rows = drive(server, open_loop((0.0, graph)))
    assert {i: at_s for i, at_s, _ in server.sent} == {0: 10, 1: 11.5, 2: 13, 3: 12.5, 4: 18}
    assert {asked.turn: asked.due_s for asked, _ in rows} == {0: 10, 1: 11.5, 2: 13, 3: 12.5, 4: 18}


def test_what_waits_for_nothing_goes_with_the_start_of_its_session() -> None:
    """In a closed loop, whose sessions are never due, too; the slot is free when all have ended."""
    graph = session(0, 1, 2, gaps_s=(0.25, 3.0), after=((), ()))
    for schedule in (
        open_loop((0.0, graph), (5.0, session(9))),
        closed_loop(1, iter((graph, session(9)))),
    ):
        server = FakeServer(service_s=1.0)
        drive(server, schedule)
        assert {i: at_s for i, at_s, _ in server.sent} == {
            0: 10.0,
            1: 10.25,
            2: 13.0,
            9: 15.0 if schedule.concurrency is None else 14.0,
        }


def test_a_failure_ends_what_waits_for_it_and_nothing_else() -> None:
    """Descendants are recorded as never sent, once each; the branch beside them goes on."""
    graph = session(0, 1, 2, 3, 4, 5, after=((0,), (0,), (1,), (2,), (3, 4)))
    rows = drive(FakeServer(failing=frozenset({1})), open_loop((0.0, graph)))
    found = {asked.request_id: exchange.error_class for asked, exchange in rows}
    assert len(rows) == 6
    assert found == {0: None, 1: "reset", 2: None, 3: "previous_turn", 4: None, 5: "previous_turn"}
    both = drive(FakeServer(failing=frozenset({1, 2})), open_loop((0.0, graph)))
    assert [asked.request_id for asked, _ in both] == [0, 1, 3, 5, 2, 4]


def test_a_stopped_graph_records_every_request_once() -> None:
    """Whatever the branches were doing."""
    graph = session(0, 1, 2, 3, 4, gaps_s=(0.0, 9.0, 0.0, 0.0), after=((0,), (0,), (1,), (2, 3)))
    rows = drive(FakeServer(service_s=2.0), open_loop((0.0, graph)), stop_at_s=13.0)
    found = {asked.request_id: exchange.error_class for asked, exchange in rows}
    assert len(rows) == 5
    assert found == {0: None, 1: None, 2: "interrupted", 3: "interrupted", 4: "interrupted"}


def test_a_scripted_session_sends_its_own_words() -> None:
    """Whatever the model said, a scripted turn is sent as written."""
    server = FakeServer()
    drive(server, open_loop((0.0, session(0, 1))))
    assert [body for *_, body in server.sent] == ["ask 0", "ask 1"]


def test_a_live_session_carries_the_replies_on() -> None:
    """The next prompt holds everything that was said, the model's reply among it."""

    class Talking(FakeServer):
        def decode(self, exchange: Exchange, count_tokens: TokenCounter) -> Response:
            from benchsuite.exchange import Chunks, Kind

            chunks = Chunks([0], bytes((Kind.CONTENT,)), [REPLY], [2])
            return Response(chunks, None, "chunks", "stop", None, None)

    server = Talking()
    drive(server, open_loop((0.0, session(0, 1, 2, live=True))))
    assert server.sent[2][2] == f"ask 0|{REPLY}|ask 1|{REPLY}|ask 2"


def test_a_live_branch_goes_on_with_the_conversation_it_names_first() -> None:
    """A sub-agent's own conversation begins empty, and the join does not mix the two."""
    server = FakeServer()
    graph = session(0, 1, 2, 3, live=True, after=((0,), (1,), (0, 2)), fresh=(1,))
    drive(server, open_loop((0.0, graph)))
    assert [body for *_, body in server.sent] == [
        "ask 0",
        "ask 1",
        "ask 1||ask 2",
        "ask 0||ask 3",
    ]


@pytest.mark.parametrize(
    ("live", "fresh", "tokens", "course"),
    [
        (False, (), LONG_TOKENS, ["made 0", "made 1", "ended 0", "made 2", "ended 1", "ended 2"]),
        (True, (), LONG_TOKENS, ["made 0", "ended 0", "made 1", "ended 1", "made 2", "ended 2"]),
        (True, (1,), LONG_TOKENS, ["made 0", "made 1", "ended 0", "ended 1", "made 2", "ended 2"]),
        (False, (), 2, ["made 0", "ended 0", "made 1", "ended 1", "made 2", "ended 2"]),
    ],
)
def test_a_long_body_is_made_while_what_it_waits_for_is_in_flight(
    live: bool, fresh: tuple[int, ...], tokens: int, course: list[str]
) -> None:
    """If the model's answer is no part of it; a short one is no work, and waits for its turn."""
    server = FakeServer()
    one = session(0, 1, 2, prompt_tokens=tokens, live=live, fresh=fresh)
    rows = drive(server, open_loop((0.0, one)), threads=AtOnce())
    assert server.course == course
    assert [asked.turn for asked, _ in rows] == [0, 1, 2]


def test_bodies_of_a_fork_and_a_join_are_made_once() -> None:
    """Also where they wait for several, or fail to be sent."""
    server = FakeServer(failing=frozenset({2}))
    one = session(0, 1, 2, 3, prompt_tokens=LONG_TOKENS, after=((0,), (0,), (1, 2)))
    rows = drive(server, open_loop((0.0, one)), threads=AtOnce())
    assert sorted(line for line in server.course if line.startswith("made")) == [
        f"made {turn}" for turn in range(4)
    ]
    assert [exchange.error_class for asked, exchange in rows if asked.turn == 3] == [
        "previous_turn"
    ]


def test_a_failed_turn_ends_its_session_and_nothing_is_dropped() -> None:
    """The turns that can no longer be sent are records too."""
    server = FakeServer(failing=frozenset({1}))
    rows = drive(server, open_loop((0.0, session(0, 1, 2, 3))))
    assert [(asked.request_id, exchange.error_class) for asked, exchange in rows] == [
        (0, None),
        (1, "reset"),
        (2, "previous_turn"),
        (3, "previous_turn"),
    ]
    assert rows[2][1].sent_s is None


def test_what_does_not_end_is_cut_after_the_drain() -> None:
    """A request that never ends costs the drain and becomes a timeout."""
    server = FakeServer(stalled=frozenset({1}))
    rows = drive(server, open_loop((0.0, session(0)), (1.0, session(1))), drain_s=30.0)
    assert rows[-1][1].error_class == "timeout_drain"
    assert rows[-1][1].finished_s == pytest.approx(11.0 + 30.0, abs=0.1)


def test_a_last_answer_that_comes_as_the_drain_begins() -> None:
    """Nothing is left to wait for in the very step in which waiting begins."""
    for service_s in (0.0, 1e-9):
        rows = drive(FakeServer(service_s=service_s), closed_loop(2, map(session, range(5))))
        assert len(rows) == 5


def test_stopping_waits_for_answers() -> None:
    """After the first interrupt nothing more is sent, and answers under way are kept."""
    server = FakeServer(service_s=5.0)
    due = [(float(i), session(i)) for i in range(10)]
    rows = drive(server, open_loop(*due), stop_at_s=13.5)
    assert len(server.sent) == 4
    assert [exchange.error_class for _, exchange in rows] == [None] * 4


def test_stopping_at_once_keeps_what_is_there() -> None:
    """After the second interrupt everything in flight ends as interrupted."""
    server = FakeServer(service_s=50.0)
    due = [(float(i), session(i)) for i in range(10)]
    rows = drive(server, open_loop(*due), cut_at_s=13.5)
    assert [exchange.error_class for _, exchange in rows] == ["interrupted"] * 4
    assert all(exchange.finished_s == pytest.approx(13.5, abs=0.1) for _, exchange in rows)


def test_a_stopped_session_skips_its_later_turns() -> None:
    """A session under way when the run is stopped ends with its turn; the rest is recorded."""
    server = FakeServer(service_s=2.0)
    rows = drive(server, open_loop((0.0, session(0, 1, 2))), stop_at_s=11.0)
    assert [exchange.error_class for _, exchange in rows] == [None, "interrupted", "interrupted"]


def test_a_fault_of_our_own_is_not_hidden() -> None:
    """An exception in this program's code ends the run with itself."""

    class Broken(FakeServer):
        async def send(self, request_id: int, body: bytes) -> Exchange:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        drive(Broken(), open_loop((0.0, session(0)), (1.0, session(1))))


def users(slot_due_s: tuple[float, ...], think_s: float, sessions: Iterator[Session]) -> Schedule:
    return replace(
        closed_loop(len(slot_due_s), sessions),
        slot_due_s=slot_due_s,
        think_s=lambda session: think_s * (1 + session.id % 2),
    )


def test_a_user_s_next_session_is_due_when_the_thinking_is_done() -> None:
    """Due times of a user: the first as planned, then the end of the last session and its thinking;
    latency counts from there."""
    server = FakeServer(service_s=1.0)
    rows = drive(server, users((0.0, 2.0), 3.0, (session(i) for i in range(6))))
    due_s = {asked.request_id: asked.due_s for asked, _ in rows}
    # 0 ends at 11 and thinks 3 s, 1 (due at 12) ends at 13 and thinks 6 s, 2 ends at 15 ...
    assert due_s == {0: 10.0, 1: 12.0, 2: 14.0, 3: 18.0, 4: 19.0, 5: 23.0}
    assert {number: at_s for number, at_s, _ in server.sent} == due_s
    assert server.most_in_flight == 2


def test_thinking_ends_with_the_run() -> None:
    """Nobody is waited for who still thinks when the issuing has ended, or was stopped."""
    for ended in ({"issue_for_s": 4.5}, {"stop_at_s": 14.5}):
        server = FakeServer(service_s=1.0)
        rows = drive(server, users((0.0,), 100.0, (session(i) for i in range(9))), **ended)
        assert [asked.request_id for asked, _ in rows] == [0]
    assert [exchange.error_class for _, exchange in rows] == [None]
