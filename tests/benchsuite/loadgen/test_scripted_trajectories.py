"""A recorded agent is sent again as it was, whatever the model says now."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.driver import Driver, Stop
from benchsuite.loadgen.schedule import Schedule
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.formats import TauBench
from benchsuite.workloads.trace import Trace
from reference_engine.virtual_time import VirtualTimeLoop
from tests.benchsuite.loadgen.test_agent import Server, saying

PATH = Path(__file__).parents[2] / "data" / "tau2_bench.jsonl.gz"


def recorded(path: Path) -> list[list[dict[str, Any]]]:
    """What stood before each answer of the agent: read from the file, not by our reader."""
    found, policy = [], list[dict[str, Any]]()
    with gzip.open(path) as file:
        for row in map(json.loads, file):
            if row.get("header"):
                content = row["info"]["environment_info"]["policy"]
                policy = [{"role": "system", "content": content}]
                continue
            messages = [*policy, *row["messages"]]
            answers = [i for i, one in enumerate(messages) if one["role"] == "assistant"]
            # A greeting that nobody has asked for is no answer.
            found += [messages[:i] for i in answers if messages[i - 1]["role"] in ("user", "tool")]
    return found


def plain(message: dict[str, Any]) -> tuple[Any, ...]:
    """A message without what formats spell in their own ways."""
    calls = [
        (call["id"], call["name"], call["arguments"])
        if "name" in call
        else (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    answers = message.get("tool_call_id") or (
        message.get("id") if message["role"] == "tool" else None
    )
    return message["role"], message.get("content"), calls, answers


def test_a_tau_bench_run_sends_exactly_the_recorded_messages() -> None:
    """Turn by turn: text, calls, arguments, and which call each tool's message answers."""
    workload = Trace(source=TauBench(path=str(PATH)))
    sessions = tuple(workload.sessions(tokenizers.load("bundled"), 1))
    expected = recorded(PATH)
    num = sum(len(session.requests) for session in sessions)
    assert num == len(expected) > 2
    server = Server(*[saying("Something else altogether.")] * num)

    async def main() -> None:
        driver = Driver(
            OpenAIChat(url="http://localhost", model="m"),
            server,  # type: ignore[arg-type]  # the parts of a Connection that a driver uses
            Schedule(
                draw=lambda: iter(sessions),
                due_s=None,
                concurrency=1,
                num_requests=num,
                end_s=None,
            ),
            len,
            drain_s=1e6,
            stop=Stop(),
            counters=Counters(),
        )
        driver.prepare()
        await driver.drive(0.0, lambda asked, exchange: None)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    sent = [list(map(plain, body["messages"])) for body in server.bodies]
    assert sent == [list(map(plain, messages)) for messages in expected]
