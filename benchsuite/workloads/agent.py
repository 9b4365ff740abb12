"""An agent at work: tasks, tools that answer, and as many turns as the model takes."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from benchsuite import streams
from benchsuite.request import Message, Prompt, Rendered, Request, Scripted, Session
from benchsuite.spec import Count, Spec
from benchsuite.tools.base import ToolSource
from benchsuite.tools.box import ToolBox
from benchsuite.workloads.conversation import schemas
from benchsuite.workloads.lengths import Lengths
from benchsuite.workloads.questions import Questions
from benchsuite.workloads.synthetic import Synthetic
from benchsuite.workloads.tokenizer import Tokenizer
from benchsuite.workloads.tools import AgentTool, Stub


class Agent(Spec, frozen=True, tag="agent"):
    """A live loop: the model's own calls are answered, and its reply goes into the next turn.

    A session is one of `tasks`; it ends with the first answer that calls no tool, or after
    `max_turns`. A turn is due when the last tool of the turn before is done. With `calls` drawn
    for each session, so many turns have to call a tool (`tool_choice: required`) and the next must
    not (`none`); without it the model decides (`auto`). Outputs end where the model ends them.
    `limits.requests` counts the turns that sessions may take.
    """

    tasks: Questions | Synthetic  # what is to be done; one request of it is one session
    tools: Annotated[tuple[AgentTool, ...], Meta(min_length=1)]  # what may be called
    max_turns: Count = 8  # most requests of a session
    calls: Lengths | None = None  # turns that have to call a tool; unset: the model decides
    system: str | None = None  # system prompt in front of every task
    keep_reasoning: bool = False  # send back what was thought, with what was said

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError(f"tools: each needs a name of its own, found {', '.join(names)}")

    @property
    def is_endless(self) -> bool:
        return self.tasks.is_endless

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        box = ToolBox([_ready(tool, tokenizer, seed) for tool in self.tools])
        rng = streams.rng(seed, "tool_calls")
        ahead_tokens = tokenizer.count(schemas(box.tools)) + tokenizer.count(self.system or "")
        next_id = 0
        for task in self.tasks.sessions(tokenizer, seed):
            asked = task.requests[0]
            num_calls = None if self.calls is None else self.calls.draw(rng)
            num_turns = self.max_turns if num_calls is None else num_calls + 1
            first = replace(
                asked,
                prompt=WithSystem(asked.prompt, self.system, ahead_tokens),
                prompt_tokens=asked.prompt_tokens + ahead_tokens,
                ignore_eos=False,
                tools=box.tools,
            )
            later = replace(first, prompt=NOTHING_NEW, prompt_tokens=0)
            requests = tuple(
                _numbered(later if turn else first, next_id + turn, turn, num_calls)
                for turn in range(min(num_turns, self.max_turns))
            )
            yield Session(
                id=task.id,
                requests=requests,
                gaps_s=(0.0,) * (len(requests) - 1),
                history="live",
                box=box,
                keep_reasoning=self.keep_reasoning,
            )
            next_id += len(requests)

    def notes(self) -> tuple[str, ...]:
        return self.tasks.notes()


NOTHING_NEW = Scripted((), 0)
"""The prompt of a turn that only goes on: what came before is all."""


class WithSystem(Struct, frozen=True):
    """A prompt behind a system prompt and the tools' descriptions."""

    prompt: Prompt
    system: str | None
    ahead_tokens: int  # of both; servers write the tools into the prompt

    def render(self) -> Rendered:
        messages, num_tokens = self.prompt.render()
        if self.system is not None:
            messages = (Message("system", self.system), *messages)
        return Rendered(messages, num_tokens + self.ahead_tokens)


def _ready(tool: AgentTool, tokenizer: Tokenizer, seed: int) -> ToolSource:
    return tool.bound(tokenizer, seed) if isinstance(tool, Stub) else tool


def _numbered(request: Request, request_id: int, turn: int, num_calls: int | None) -> Request:
    choice = None
    if num_calls is not None:
        choice = "required" if turn < num_calls else "none"
    return replace(request, id=request_id, tool_choice=choice)
