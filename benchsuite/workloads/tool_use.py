"""Tool-integrated sessions by distribution: turns, tools, their times and what they return.

Everything is drawn before the run, so it is the same for every server: the workload of "Beyond
Accuracy: Unveiling Inefficiency Patterns in Tool-Integrated Reasoning" (PTE, section 1.11 of whose
reading asks for k turns, a mix of tools, latencies and response lengths).
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta, Struct
from numpy.random import Generator

from benchsuite import streams
from benchsuite.request import Message, PlannedResult, Rendered, Request, Session, ToolCall
from benchsuite.spec import Positive, Share, Spec
from benchsuite.workloads.durations import Durations, FixedTime
from benchsuite.workloads.lengths import Fixed, Lengths
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import Tokenizer

_ARGUMENT: Final = "query"


class ToolKind(Spec, frozen=True):
    """A tool of the mix."""

    name: str  # as the calls name it
    weight: Positive = 1.0  # how often it is called, beside the others
    latency: Durations = FixedTime(0.0)  # how long a call takes
    result_tokens: Lengths = Fixed(256)  # length of what it returns
    failures: Share = 0.0  # share of the calls that return an error of 8 tokens


class ToolUse(Spec, frozen=True, tag="tool_use"):
    """Sessions of `turns` model calls, each but the last followed by one call of a tool.

    Turns of a session begin alike: what the model was to say (a call of `output_tokens`) and what
    the tool returned stand in the next prompt, whatever this model says. The time of the tool is
    the gap before the next turn.
    """

    is_endless: ClassVar[bool] = True

    turns: Lengths  # model calls of a session
    prompt_tokens: Lengths  # of the task that begins it
    output_tokens: Lengths  # of each turn: reasoning and call together
    tools: Annotated[tuple[ToolKind, ...], Meta(min_length=1)]  # the mix
    shared_prefix_tokens: Annotated[int, Meta(ge=0)] = 0  # in front of every task, the same for all
    ignore_eos: bool = True  # outputs are as long as asked, where the server obeys

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        rngs = {
            name: streams.rng(seed, "tool_use", name)
            for name in ("turns", "prompt", "output", "tool", "latency", "result", "failure")
        }
        next_id = index = 0
        while True:
            task = self.prompt_tokens.draw(rngs["prompt"])
            steps = [self._step(rngs) for _ in range(self.turns.draw(rngs["turns"]))]
            yield self._session(index, next_id, task, tuple(steps), tokenizer, seed)
            next_id += len(steps)
            index += 1

    def _session(
        self,
        index: int,
        first_id: int,
        task: int,
        steps: tuple["Step", ...],
        tokenizer: Tokenizer,
        seed: int,
    ) -> Session:
        prefix, own = (
            Piece(("shared_prefix",), self.shared_prefix_tokens),
            Piece(("task", index), task),
        )
        opening = Pieces(tokenizer, seed, (prefix, own) if prefix.num_tokens else (own,))
        so_far = prefix.num_tokens + task
        requests = []
        for turn, step in enumerate(steps):
            requests.append(
                Request(
                    id=first_id + turn,
                    prompt=Trajectory(opening, index, steps[:turn]),
                    prompt_tokens=so_far,
                    max_output_tokens=step.output_tokens,
                    ignore_eos=self.ignore_eos,
                    results=(steps[turn - 1].result(turn - 1),) if turn else (),
                )
            )
            so_far += step.output_tokens + step.result_tokens
        gaps_s = tuple(step.latency_s for step in steps[:-1])
        return Session(id=index, requests=tuple(requests), gaps_s=gaps_s)

    def _step(self, rngs: dict[str, Generator]) -> "Step":
        kind = _chosen(self.tools, rngs["tool"].random())
        fails = rngs["failure"].random() < kind.failures
        result_tokens = kind.result_tokens.draw(rngs["result"])
        return Step(
            tool=kind.name,
            output_tokens=self.output_tokens.draw(rngs["output"]),
            result_tokens=8 if fails else result_tokens,
            latency_s=kind.latency.draw(rngs["latency"]),
            fails=fails,
        )

    def notes(self) -> tuple[str, ...]:
        return ()


class Step(Struct, frozen=True):
    """One turn: what the model says, and what the tool that it calls returns."""

    tool: str
    output_tokens: int
    result_tokens: int
    latency_s: float
    fails: bool

    def result(self, turn: int) -> PlannedResult:
        return PlannedResult(
            call_id=f"call_{turn}",
            name=self.tool,
            latency_s=self.latency_s,
            output_tokens=self.result_tokens,
            exit_code=int(self.fails),
        )


class Trajectory(Struct, frozen=True):
    """A task and the turns so far, written out."""

    opening: Pieces
    session: int
    steps: tuple[Step, ...]

    def render(self) -> Rendered:
        messages, num_tokens = self.opening.render()
        said = list(messages)
        for turn, step in enumerate(self.steps):
            call, result, tokens = self._turn(turn, step)
            said += [
                Message("assistant", None, (call,)),
                Message("tool", result, tool_call_id=call.id),
            ]
            num_tokens += tokens
        return Rendered(tuple(said), num_tokens)

    def _turn(self, turn: int, step: Step) -> tuple[ToolCall, str, int]:
        """The call, the result, and the tokens of both."""
        empty = step.tool + _arguments("")
        asked = max(1, step.output_tokens - self.opening.tokenizer.count(empty))
        query, _ = self._prose(asked, turn, "call")
        result, result_tokens = self._prose(step.result_tokens, turn, "result")
        call = ToolCall(f"call_{turn}", step.tool, _arguments(query))
        call_tokens = self.opening.tokenizer.count(call.name + call.arguments)
        return call, result, call_tokens + result_tokens

    def _prose(self, num_tokens: int, turn: int, what: str) -> tuple[str, int]:
        tokenizer, seed = self.opening.tokenizer, self.opening.seed
        rng = streams.rng(seed, "tool_use", what, self.session, turn)
        return tokenizer.joined([tokenizer.passage(num_tokens, rng)], num_tokens)


def _arguments(query: str) -> str:
    return msgspec.json.encode({_ARGUMENT: query}).decode()


def _chosen(tools: tuple[ToolKind, ...], share: float) -> ToolKind:
    """The tool in whose part of the weights `share` of them lies."""
    left = share * sum(tool.weight for tool in tools)
    for tool in tools:
        left -= tool.weight
        if left < 0:
            return tool
    return tools[-1]
