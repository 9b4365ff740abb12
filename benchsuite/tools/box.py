"""The tools of one session, and how the calls of one answer are carried out."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import cached_property
from typing import NamedTuple

import msgspec

from benchsuite.errors import ScenarioError
from benchsuite.message import Message, Tool, ToolCall
from benchsuite.tools.base import Outcome, ToolResult, ToolSource
from benchsuite.tools.check import Fault, arguments, fault, validator


class Answered(NamedTuple):
    """The calls of one answer, all of them answered."""

    messages: tuple[Message, ...]  # one for each call, in order
    results: tuple[ToolResult, ...]
    ended_s: float  # when the last tool was done


class ToolBox:
    """Tools by name. A call that is not sound is answered by what is wrong with it."""

    def __init__(self, sources: Sequence[ToolSource]) -> None:
        self._sources = tuple(sources)
        for tool in self.tools:  # now, since the first call comes in the middle of a run
            validator(msgspec.json.encode(tool.parameters))

    @cached_property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(source.tool() for source in self._sources)

    async def answer(
        self,
        calls: Sequence[ToolCall],
        *,
        since_s: float,
        key: tuple[int, ...],
        threads: Executor | None,
        count_tokens: Callable[[str], int],
    ) -> Answered:
        """Carry out `calls`, all at once. `since_s`: when the answer that made them had ended.

        A tool that takes a drawn time takes it from `since_s`, and nobody waits for it here: who
        sends the next turn does. A real one runs in `threads` (none: there is no real time, and
        ScenarioError says so) and ends when it has ended.
        """
        one_by_one = [
            self._one(call, since_s, (*key, i), threads, count_tokens)
            for i, call in enumerate(calls)
        ]
        results = tuple(await asyncio.gather(*one_by_one))
        messages = tuple(
            Message("tool", result.output, tool_call_id=result.call_id) for result in results
        )
        return Answered(messages, results, max(result.ended_s for result in results))

    async def _one(
        self,
        call: ToolCall,
        since_s: float,
        key: tuple[int, ...],
        threads: Executor | None,
        count_tokens: Callable[[str], int],
    ) -> ToolResult:
        wrong = fault(call, self.tools)
        if wrong is not None:
            outcome, ended_s = Outcome(f"error: {wrong.problem}: {wrong.detail}", 0.0), since_s
        else:
            outcome, ended_s = await self._carried_out(call, since_s, key, threads)
        return ToolResult(
            call_id=call.id,
            name=call.name,
            started_s=since_s,
            ended_s=ended_s,
            exit_code=None if wrong else outcome.exit_code,
            problem=wrong.problem if wrong else None,
            output=outcome.output,
            output_tokens=count_tokens(outcome.output),
        )

    async def _carried_out(
        self, call: ToolCall, since_s: float, key: tuple[int, ...], threads: Executor | None
    ) -> tuple[Outcome, float]:
        source = self._sources[[tool.name for tool in self.tools].index(call.name)]
        given = arguments(call)
        assert not isinstance(given, Fault), "found sound before"
        if not source.is_real:
            outcome = source.call(given, key)
            return outcome, since_s + (outcome.duration_s or 0.0)
        if threads is None:
            raise ScenarioError(f"tool {call.name!r} really runs, which takes real time")
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(threads, source.call, given, key)
        return outcome, loop.time()
