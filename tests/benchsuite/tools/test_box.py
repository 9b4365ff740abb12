"""Every call is answered: by its tool, or by what is wrong with it."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchsuite.errors import ScenarioError
from benchsuite.message import Message, ToolCall
from benchsuite.tools.base import ToolSource
from benchsuite.tools.box import Answered, ToolBox
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.durations import FixedTime, UniformTime
from benchsuite.workloads.lengths import Uniform
from benchsuite.workloads.tools import Python, Stub

TOKENIZER = tokenizers.load("bundled")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Stub(name="weather", parameters=SCHEMA, latency=FixedTime(2.0), results=("rain", "sun"))
NOW = Stub(name="now", latency=UniformTime(0.5, 1.5), result_tokens=Uniform(5, 50))


def answer(
    sources: Sequence[ToolSource],
    *calls: ToolCall,
    key: tuple[int, ...] = (0, 0),
    is_real_time: bool = True,
) -> Answered:
    async def work() -> Answered:
        with ThreadPoolExecutor(2) as threads:
            return await ToolBox(sources).answer(
                calls,
                since_s=10.0,
                key=key,
                threads=threads if is_real_time else None,
                count_tokens=TOKENIZER.count,
            )

    return asyncio.run(work())


def bound(*stubs: Stub, seed: int = 1) -> list[ToolSource]:
    return [stub.bound(TOKENIZER, seed) for stub in stubs]


def test_calls_of_one_answer_go_at_once() -> None:
    """The slowest one is what is waited for; each answer names its call."""
    calls = (ToolCall("a", "weather", '{"city": "Oslo"}'), ToolCall("b", "now", ""))
    found = answer(bound(WEATHER, NOW), *calls)
    assert [message.tool_call_id for message in found.messages] == ["a", "b"]
    assert found.messages[0].content in ("rain", "sun")
    assert (found.ended_s, found.results[0].ended_s) == (12.0, 12.0)
    assert 10.5 <= found.results[1].ended_s <= 11.5
    assert found.results[1].output_tokens == TOKENIZER.count(found.results[1].output)


def test_what_is_drawn_for_a_call_is_the_same_in_every_run() -> None:
    """By seed, session, turn and place; another call draws anew."""
    call = ToolCall("a", "now", "")
    first = answer(bound(NOW), call)
    assert answer(bound(NOW), call) == first
    others = [answer(bound(NOW), call, key=(0, 1)), answer(bound(NOW, seed=2), call)]
    assert all(other != first for other in others)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (ToolCall("a", "weather", '{"city"'), "malformed_json"),
        (ToolCall("a", "wether", "{}"), "unknown_tool"),
        (ToolCall("a", "weather", "{}"), "schema"),
    ],
)
def test_a_call_that_is_not_sound_is_told_so(call: ToolCall, problem: str) -> None:
    """At once and without carrying it out; the model may mend it."""
    found = answer(bound(WEATHER), call)
    (result,) = found.results
    assert (result.problem, result.exit_code, found.ended_s) == (problem, None, 10.0)
    assert str(found.messages[0].content).startswith(f"error: {problem}")


def test_stubs_fail_as_often_as_asked() -> None:
    """A failure has an exit code, and its time was taken all the same."""
    flaky = Stub(name="f", failures=0.25, latency=FixedTime(1.0), results=("ok",))
    call = ToolCall("a", "f", "")
    results = [answer(bound(flaky), call, key=(i, 0)).results[0] for i in range(200)]
    failed = [result for result in results if result.exit_code]
    assert 30 <= len(failed) <= 70
    assert {result.ended_s for result in results} == {11.0}


def test_a_real_tool_ends_when_it_has_ended() -> None:
    """In a thread; its exit code is its process's."""
    call = ToolCall("a", "python", '{"code": "print(6 * 7); exit(3)"}')
    (result,) = answer([Python()], call).results
    assert (result.output, result.exit_code) == ("42\n", 3)
    assert result.ended_s != 10.0


def test_a_real_tool_needs_real_time() -> None:
    """On a virtual clock it would take no time at all."""
    with pytest.raises(ScenarioError, match="real time"):
        answer([Python()], ToolCall("a", "python", '{"code": ""}'), is_real_time=False)


def test_messages_go_back_as_the_api_wants_them() -> None:
    """Role `tool`, and nothing else."""
    found = answer(bound(WEATHER), ToolCall("a", "weather", '{"city": "Oslo"}'))
    assert found.messages == (Message("tool", found.results[0].output, tool_call_id="a"),)
