"""The driver: one event loop that sends each session when it is due and keeps what came back.

Open loop: a request goes out when it is due, whether or not earlier ones have come back.
Closed loop: `concurrency` slots, each with one session at a time. Bodies are made ahead of time.
The driver decodes nothing but the replies that a live session needs for its next turn.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec.structs import replace

from benchsuite.endpoints.base import (
    Connection,
    Endpoint,
    Exchange,
    TokenCounter,
    http_status,
)
from benchsuite.loadgen.ahead import Ahead, Ready
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.course import Course, said, sent
from benchsuite.loadgen.order import order
from benchsuite.loadgen.schedule import Schedule
from benchsuite.records.spool import Asked
from benchsuite.request import Message, Request, Session
from benchsuite.tools.base import ToolResult
from benchsuite.tools.box import ToolBox

LONG_TOKENS: Final = 256  # of a prompt: what it takes to write it out would be felt by others
BURST: Final = 8  # slots that begin at once; then the loop reads what has come for the others
ABORT_POLL_S: Final = 0.05  # a request may be between connecting and sending when it is aborted

Sink = Callable[[Asked, Exchange], None]


@dataclass
class Stop:
    """How a run is told to end early: no more requests, then nothing in flight either."""

    issuing: asyncio.Event = field(default_factory=asyncio.Event)
    flight: asyncio.Event = field(default_factory=asyncio.Event)
    interrupted: bool = False  # by the user

    def at_once(self) -> None:
        """Send nothing more and wait for nothing."""
        self.issuing.set()
        self.flight.set()


class Driver:
    """Sends one worker's part of a schedule through a connection.

    `issue_for_s`: a closed loop starts no session later than that. `drain_s`: how long to wait for
    answers after the last request was issued. `threads`: where bodies are made during the run;
    `tool_threads`: where an agent's tools run.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        connection: Connection,
        schedule: Schedule,
        count_tokens: TokenCounter,
        *,
        worker: int = 0,
        issue_for_s: float | None = None,
        drain_s: float,
        stop: Stop,
        counters: Counters,
        threads: Executor | None = None,
        tool_threads: Executor | None = None,
    ) -> None:
        self._threads, self._tool_threads = threads, tool_threads
        self._endpoint, self._connection, self._schedule = endpoint, connection, schedule
        self._count_tokens, self._worker = count_tokens, worker
        self._issue_for_s, self._drain_s = issue_for_s, drain_s
        self._stop, self._counters = stop, counters
        self._loop = asyncio.get_running_loop()
        self._ahead = Ahead(schedule, self._ready, threads)
        self._sessions: set[asyncio.Task[object]] = set()
        self._failure: BaseException | None = None
        self._is_over = False

    def prepare(self) -> None:
        """Make bodies ahead; takes a while, so before the run's zero is set."""
        self._ahead.fill()

    async def drive(self, start_s: float, sink: Sink) -> None:
        """Send everything; returns when all of it has ended, or was stopped and drained.

        `start_s`: the run's zero on the loop's clock. `sink` gets each request as it ends.
        """
        self._start_s, self._sink = start_s, sink
        concurrency = self._schedule.concurrency
        issue = self._open_loop() if concurrency is None else self._closed_loop(concurrency)
        await self._until(self._loop.create_task(issue), self._stop.issuing)
        self._counters.is_draining = True
        if self._sessions:
            drained = self._loop.create_task(self._drained())
            await self._until(drained, self._stop.flight)
        await self._cut()
        self._ahead.close()
        if self._failure is not None:
            raise self._failure

    async def _until(self, task: asyncio.Task[None], event: asyncio.Event) -> None:
        """Until `task` ends or `event` is set, whichever comes first; the task ends with it."""
        waiter = self._loop.create_task(event.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        elif task.exception() is not None:
            self._failure = self._failure or task.exception()

    async def _drained(self) -> None:
        if self._sessions:  # the last may have ended since this task was made
            await asyncio.wait(self._sessions, timeout=self._drain_s)

    async def _cut(self) -> None:
        """End what is still in flight: drained long enough, or interrupted twice."""
        error_class, error = (
            "timeout_drain",
            f"not finished {self._drain_s:g} s after the last issue",
        )
        if self._stop.flight.is_set():
            error_class, error = "interrupted", "the run was interrupted"
        self._is_over = True
        while self._sessions:
            self._connection.abort(error_class, error)
            await asyncio.wait(self._sessions, timeout=ABORT_POLL_S)

    async def _open_loop(self) -> None:
        while (item := await self._ahead.take()) is not None:
            assert item.due_s is not None
            at_s = self._start_s + item.due_s
            await self._sleep_until(at_s)
            self._begin(self._session(item.session, item.first, at_s))

    async def _closed_loop(self, concurrency: int) -> None:
        """Ends when no further session will be started; the last ones may still be in flight."""
        issued = asyncio.Event()
        slot_due_s, think_s = self._schedule.slot_due_s, self._schedule.think_s

        async def slot(due_s: float | None) -> None:
            while not (issued.is_set() or self._stop.issuing.is_set()):
                if not await self._thought(due_s, issued):
                    return
                item = await self._ahead.take()  # now, so that nobody waits with the last one
                if item is None:
                    issued.set()
                else:
                    ended_s = await self._session(item.session, item.first, due_s)
                    if think_s is not None:
                        due_s = ended_s + think_s(item.session)

        await self._sleep_until(self._start_s)
        for number in range(concurrency):
            first_s = None if slot_due_s is None else self._start_s + slot_due_s[number]
            self._begin(slot(first_s))
            if number % BURST == BURST - 1:
                await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._issue_for_s):
                await issued.wait()
        except TimeoutError:
            pass
        finally:
            issued.set()

    async def _thought(self, due_s: float | None, issued: asyncio.Event) -> bool:
        """Whether the time to think was over before the issuing was."""
        if due_s is None:
            return True
        try:
            async with asyncio.timeout_at(due_s):
                await issued.wait()
        except TimeoutError:
            return True
        return False

    def _begin(self, work: Coroutine[None, None, object]) -> asyncio.Task[object]:
        task = self._loop.create_task(work)
        self._sessions.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._sessions.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Not a failure of a request (those are records) but of this program.
            self._failure = self._failure or task.exception()
            self._stop.issuing.set()

    async def _sleep_until(self, at_s: float) -> None:
        delay_s = at_s - self._loop.time()
        if delay_s > 0:
            await asyncio.sleep(delay_s)

    def _ready(self, request: Request, history: tuple[Message, ...] = ()) -> Ready:
        rendered = request.prompt.render()
        messages = history + rendered.messages
        body = self._endpoint.body(request, messages)
        return Ready(request, messages, rendered.prompt_tokens, body)

    async def _session(self, session: Session, first: Ready, due_s: float | None) -> float:
        """One session, until all of its requests have ended or were skipped; when it ended."""
        if session.box is not None:
            return await self._agent(session, session.box, first, due_s)
        start_s = self._loop.time() if due_s is None else due_s
        course = Course(session, order(session, start_s))
        for turn in course.order.roots()[1:]:
            self._fork(course, turn)
        await self._walk(course, 0, first, due_s)
        while course.forks:
            await asyncio.wait(course.forks)
        for unsent in course.made.values():
            unsent.cancel()
        return course.ended_s

    def _fork(self, course: Course, turn: int) -> None:
        task = self._begin(self._branch(course, turn))
        course.forks.add(task)
        task.add_done_callback(course.forks.discard)

    async def _branch(self, course: Course, turn: int) -> None:
        await self._walk(course, turn, *await self._next(course, turn))

    def _make_early(self, course: Course, parent: int) -> None:
        """Long bodies of the requests that wait for `parent`, by a thread while it is in flight:
        after its end they would be late where the gap is shorter than what it takes to make them.
        """
        if self._threads is None:
            return
        for turn in course.order.waiting_for(parent):
            request = course.session.requests[turn]
            is_long = request.prompt_tokens >= LONG_TOKENS
            if is_long and turn not in course.made and course.is_whole(turn):
                made = self._loop.run_in_executor(self._threads, self._ready, request)
                course.made[turn] = made

    async def _next(self, course: Course, turn: int) -> tuple[Ready, float]:
        """A later request of a session, and when it is due. A long body that nobody made early is
        made by a thread, while the gap before it passes."""
        request, history = course.session.requests[turn], course.history_of(turn)
        if turn in course.made:
            ready = await course.made.pop(turn)
        elif self._threads is None or request.prompt_tokens < LONG_TOKENS:
            ready = self._ready(request, history)
        else:
            work = self._loop.run_in_executor(self._threads, self._ready, request, history)
            ready = await work
        return ready, course.order.due_s(turn)

    async def _walk(self, course: Course, turn: int, ready: Ready, due_s: float | None) -> None:
        """From one request to the next that it lets go, to the last or to one that fails.

        Where one lets several go, the others walk on their own.
        """
        while True:
            if turn > 0:
                assert due_s is not None
                await self._sleep_until(due_s)
            if self._is_over or (turn > 0 and self._stop.issuing.is_set()):
                unsent = (turn, *course.order.lost(turn))
                self._skip(course.session, unsent, "interrupted", "the run ended before it was due")
                return
            self._make_early(course, turn)
            exchange = await self._send(course.session, turn, ready, due_s)
            assert exchange.finished_s is not None
            course.ended_s = max(course.ended_s, exchange.finished_s)
            if _failed(exchange):
                lost = course.order.lost(turn)
                self._skip(course.session, lost, "previous_turn", f"turn {turn} failed")
                return
            course.keep(turn, self._history(course.session, ready, exchange))
            following = course.order.ended(turn, exchange.finished_s)
            if not following:
                return
            turn, *others = following
            for other in others:
                self._fork(course, other)
            ready, due_s = await self._next(course, turn)

    async def _agent(
        self, session: Session, box: ToolBox, ready: Ready, due_s: float | None
    ) -> float:
        """An agent's session: its calls are answered and the next turn is due when the last tool
        is done; when it ended: with the first answer that calls none, or with its last request."""
        results: tuple[ToolResult, ...] = ()
        ended_s = 0.0
        for turn in range(len(session.requests)):
            if due_s is not None and turn > 0:
                await self._sleep_until(due_s)
            if self._is_over or (turn > 0 and self._stop.issuing.is_set()):
                self._skip(session, (turn,), "interrupted", "the run ended before it was due")
                break
            exchange = await self._send(session, turn, ready, due_s, results)
            assert exchange.finished_s is not None
            ended_s = exchange.finished_s
            if _failed(exchange) or turn + 1 == len(session.requests):
                break
            reply = self._endpoint.decode(exchange, self._count_tokens)
            if reply.error_class is not None or not reply.tool_calls:
                break
            answered = await box.answer(
                reply.tool_calls,
                since_s=ended_s,
                key=(session.id, turn),
                threads=self._tool_threads,
                count_tokens=self._count_tokens,
            )
            results, due_s = answered.results, answered.ended_s
            answer = said(reply, session.keep_reasoning)
            history = (*ready.messages, answer, *answered.messages)
            so_far = ready.prompt_tokens + self._tokens(answer, results)
            ready = self._ready(session.requests[turn + 1], history)
            ready = ready._replace(prompt_tokens=ready.prompt_tokens + so_far)
        return ended_s

    def _tokens(self, said: Message, results: tuple[ToolResult, ...]) -> int:
        """What an agent's answer and its tools add to the prompt, as far as we can count it."""
        texts = [said.text, *(call.name + call.arguments for call in said.tool_calls)]
        told = sum(result.output_tokens for result in results)
        return told + sum(self._count_tokens(text) for text in texts if text)

    async def _send(
        self,
        session: Session,
        turn: int,
        ready: Ready,
        due_s: float | None,
        results: tuple[ToolResult, ...] = (),
    ) -> Exchange:
        self._counters.num_sent += 1
        self._counters.num_begun += turn == 0
        exchange = await self._connection.send(ready.request.id, ready.body)
        self._counters.saw(due_s, exchange)
        facts = sent(session, turn, ready, due_s, results)
        exchange.num_items = facts["num_items"]
        asked = self._asked(session, turn, due_s, ready.prompt_tokens)
        self._sink(replace(asked, **facts), exchange)
        return exchange

    def _history(self, session: Session, ready: Ready, exchange: Exchange) -> tuple[Message, ...]:
        """What a live session's next prompt follows: the messages so far and the model's reply."""
        if session.history == "scripted":
            return ()
        reply = self._endpoint.decode(exchange, self._count_tokens).text
        return (*ready.messages, Message(role="assistant", content=reply))

    def _skip(self, session: Session, turns: Iterable[int], error_class: str, error: str) -> None:
        """Records for the turns that will not be sent: nothing that was planned is dropped."""
        for turn in turns:
            request = session.requests[turn]
            exchange = Exchange(
                request_id=request.id,
                stamp_source="user",
                framing="none",
                error_class=error_class,
                error=error,
            )
            self._sink(self._asked(session, turn, None, request.prompt_tokens), exchange)

    def _asked(self, session: Session, turn: int, due_s: float | None, prompt_tokens: int) -> Asked:
        request = session.requests[turn]
        return Asked(
            request_id=request.id,
            session_id=session.id,
            turn=turn,
            worker=self._worker,
            slo_class=request.slo_class,
            priority=request.priority,
            tenant=request.tenant,
            model=request.model,
            due_s=due_s,
            prompt_tokens_asked=request.prompt_tokens,
            prompt_tokens=prompt_tokens,
            output_tokens_asked=request.max_output_tokens,
            must_reach_asked=request.ignore_eos,
            expected=request.expected,
            grader=request.grader,
            batch=msgspec.json.encode(request.batch).decode() if request.batch else None,
            num_questions=len(request.batch) or 1,
            num_samples=request.num_samples,
        )


def _failed(exchange: Exchange) -> bool:
    """As far as can be told without decoding."""
    return exchange.error_class is not None or http_status(exchange) != 200
