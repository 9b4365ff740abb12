"""An agent's session on virtual time, against a server whose answers are written."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.exchange import Exchange
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.driver import Driver, Stop
from benchsuite.loadgen.schedule import Schedule
from benchsuite.message import Message, Tool
from benchsuite.records import requests as requests_file
from benchsuite.records.record import Record
from benchsuite.records.spool import Asked
from benchsuite.records.tool_events import JudgedCall
from benchsuite.request import Request, Scripted, Session
from benchsuite.tools.base import Outcome
from benchsuite.tools.box import ToolBox
from reference_engine.virtual_time import VirtualTimeLoop
from tests.dialects import chunk, count_tokens, usage_event
from tests.scripted_server import DONE

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ENDPOINT = OpenAIChat(url="http://localhost", model="m")


class Weather:
    """Takes two seconds."""

    is_real = False

    def tool(self) -> Tool:
        return Tool("weather", "", SCHEMA)

    def call(self, arguments: Mapping[str, Any], key: tuple[int, ...]) -> Outcome:
        return Outcome(f"rain in {arguments['city']}", 2.0)


class Server:
    """Answers the n-th request of a session with the n-th of `answers`, after a second each."""

    def __init__(self, *answers: Sequence[bytes], failing: int | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.sent_s: list[float] = []
        self._answers, self._failing = answers, failing

    async def send(self, request_id: int, body: bytes) -> Exchange:
        loop = asyncio.get_running_loop()
        self.sent_s.append(loop.time())
        exchange = Exchange(
            request_id=request_id,
            stamp_source="virtual",
            framing="none",
            sent_s=loop.time(),
            http_status=200,
        )
        await asyncio.sleep(1.0)
        turn = len(self.bodies)
        self.bodies.append(json.loads(body))
        if turn == self._failing:
            exchange.error_class, exchange.error = "reset", "broken"
        exchange.reads = [*self._answers[turn], DONE]
        exchange.read_s = [loop.time()] * len(exchange.reads)
        exchange.finished_s = loop.time()
        return exchange

    def in_flight(self) -> int:
        return 0

    def abort(self, error_class: str, error: str) -> None: ...


def calling(*arguments: str, name: str = "weather", thought: str = "") -> tuple[bytes, ...]:
    calls = [
        {"index": i, "id": f"c{i}", "function": {"name": name, "arguments": text}}
        for i, text in enumerate(arguments)
    ]
    thinking = (chunk({"reasoning_content": thought}),) if thought else ()
    return (*thinking, chunk({"tool_calls": calls}, "tool_calls"), usage_event(9, 4))


def saying(text: str) -> tuple[bytes, ...]:
    return (chunk({"content": text}, "stop"), usage_event(9, 2))


def agent(max_turns: int = 4, **more: Any) -> Session:
    box = ToolBox([Weather()])
    first = Request(
        id=0,
        prompt=Scripted((Message("user", "How is it?"),), 3),
        prompt_tokens=3,
        max_output_tokens=9,
        tools=box.tools,
    )
    nothing = replace(first, prompt=Scripted((), 0), prompt_tokens=0)
    later = tuple(replace(nothing, id=i) for i in range(1, max_turns))
    return Session(id=0, requests=(first, *later), history="live", box=box, **more)


def drive(server: Server, session: Session) -> list[Record]:
    rows: list[tuple[Asked, Exchange]] = []

    async def main() -> None:
        schedule = Schedule(
            draw=lambda: iter((session,)),
            due_s=(0.0,),
            concurrency=None,
            num_requests=None,
            end_s=None,
        )
        driver = Driver(
            ENDPOINT,
            server,  # type: ignore[arg-type]  # the parts of a Connection that a driver uses
            schedule,
            count_tokens,
            drain_s=1e3,
            stop=Stop(),
            counters=Counters(),
        )
        driver.prepare()
        await driver.drive(10.0, lambda asked, exchange: rows.append((asked, exchange)))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    return [
        requests_file.record_of(
            asked,
            exchange,
            ENDPOINT.decode(exchange, count_tokens),
            start_s=10.0,
            keep_text=True,
        )
        for asked, exchange in rows
    ]


def test_a_loop_completes() -> None:
    """Two calls at once, their answers, and the words that end it; times count from due."""
    server = Server(calling('{"city": "Oslo"}', '{"city": "Rome"}'), saying("Wet."))
    first, last = drive(server, agent())
    assert server.sent_s == [10.0, 13.0]  # 1 s of the server, 2 s of the tools
    assert [one["role"] for one in server.bodies[1]["messages"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    said, *answers = server.bodies[1]["messages"][1:]
    assert [call["id"] for call in said["tool_calls"]] == ["c0", "c1"]
    assert [(one["tool_call_id"], one["content"]) for one in answers] == [
        ("c0", "rain in Oslo"),
        ("c1", "rain in Rome"),
    ]
    assert server.bodies[1]["tools"][0]["function"]["name"] == "weather"
    assert (first.due_s, last.due_s, last.turn) == (0.0, 3.0, 1)
    assert [(one.started_s, one.ended_s, one.exit_code) for one in last.tool_results] == [
        (1.0, 3.0, 0)
    ] * 2
    assert [call.problem for call in first.tool_calls] == [None, None]
    assert (last.output_text, last.tool_calls) == ("Wet.", ())
    assert last.prompt_tokens == 3 + 2 * 2 + 2 * 3  # the question, two calls, two results
    assert last.prompt_tokens_asked == last.prompt_tokens


def test_what_is_wrong_with_a_call_is_told_and_recorded() -> None:
    """The model gets an answer at once, and may do better."""
    server = Server(calling('{"city"'), calling("{}", name="wether"), calling("{}"), saying("Eh."))
    records = drive(server, agent())
    assert [call.problem for one in records for call in one.tool_calls] == [
        "malformed_json",
        "unknown_tool",
        "schema",
    ]
    assert [result.problem for one in records for result in one.tool_results] == [
        "malformed_json",
        "unknown_tool",
        "schema",
    ]
    assert server.sent_s == [10.0, 11.0, 12.0, 13.0]
    assert server.bodies[1]["messages"][2]["content"].startswith("error: malformed_json")


def test_a_call_that_the_server_took_for_text_ends_the_loop() -> None:
    """Nobody can answer it; it is on record."""
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>'
    (only,) = drive(Server(saying(text)), agent())
    assert only.tool_calls == (
        JudgedCall(
            id="",
            name="weather",
            arguments='{"name": "weather", "arguments": {"city": "Oslo"}}',
            problem="unparsed",
            detail="the server took the call for text",
        ),
    )


def test_turns_have_an_end_and_a_failure_ends_it_too() -> None:
    """No turn is recorded that nobody can say would have come."""
    endless = [calling('{"city": "Oslo"}')] * 9
    assert len(drive(Server(*endless), agent(max_turns=3))) == 3
    records = drive(Server(*endless, failing=1), agent())
    assert [one.status for one in records] == ["ok", "error"]


def test_what_was_thought_goes_back_only_if_asked() -> None:
    """Most templates forget it; some need it within a loop."""
    for keep, expected in ((False, None), (True, "hm")):
        server = Server(calling('{"city": "Oslo"}', thought="hm"), saying("Wet."))
        drive(server, agent(keep_reasoning=keep))
        assert server.bodies[1]["messages"][1].get("reasoning_content") == expected
