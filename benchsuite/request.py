"""What to ask: messages, requests, and sessions of requests that follow each other."""

from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from benchsuite.message import (
    AudioFile,
    AudioPart,
    ImageFile,
    ImagePart,
    Message,
    Part,
    TextPart,
    Tool,
    ToolCall,
    VideoPart,
)
from benchsuite.tools.box import ToolBox

__all__ = [
    "AudioFile",
    "AudioPart",
    "Grader",
    "ImageFile",
    "ImagePart",
    "Message",
    "Part",
    "PlannedResult",
    "Prompt",
    "Question",
    "Rendered",
    "Request",
    "Scripted",
    "Session",
    "TextPart",
    "Tool",
    "ToolCall",
    "VideoPart",
]

Grader = Literal["exact", "number", "choice", "contains", "math", "code"]
"""How an answer is checked: the names in metrics/quality.py."""


class Rendered(NamedTuple):
    """A prompt as it will be sent."""

    messages: tuple[Message, ...]
    prompt_tokens: int  # counted by the scenario's tokenizer, before the server's chat template


class Prompt(Protocol):
    """A prompt that is written out only when it is needed, so a long schedule stays small."""

    def render(self) -> Rendered:
        """Pure: the same prompt gives the same text in every process. Called before it is due."""
        ...


class Scripted(Struct, frozen=True):
    """A prompt that is known word for word; files that it shows are read when it is rendered."""

    messages: tuple[Message, ...]
    prompt_tokens: int

    def render(self) -> Rendered:
        messages = tuple(message.inlined() for message in self.messages)
        return Rendered(messages, self.prompt_tokens)


class PlannedResult(Struct, frozen=True):
    """A tool result that stands in a prompt: of a call before it, recorded or drawn."""

    call_id: str
    name: str
    latency_s: float  # how long the tool took; part of the gap before the request
    output_tokens: int
    exit_code: int = 0


class Question(Struct, frozen=True):
    """One of several that a prompt asks, each by its number in it, from 1."""

    id: int  # rounds of votes ask it again, under other numbers
    expected: str


class Request(Struct, frozen=True):
    """One API call."""

    id: int  # position in the schedule's numbering, unique in the run
    prompt: Prompt
    prompt_tokens: int  # asked; what was achieved stands in Rendered
    max_output_tokens: int
    ignore_eos: bool = False  # output length is exactly max_output_tokens where the server obeys
    slo_class: str = "default"
    priority: int | None = None  # sent as it is; which end goes first is the server's rule
    tenant: str | None = None  # who asks, sent as OpenAI's `user`
    model: str | None = None  # instead of the endpoint's, such as a LoRA adapter's name
    expected: str | None = None  # checkable answer, if any
    grader: Grader | None = None  # how it is checked
    batch: tuple[Question, ...] = ()  # instead of `expected`, where the prompt asks several
    tools: tuple[Tool, ...] = ()  # that the model may call
    tool_choice: str | None = None  # auto, none, required, or a tool's name; None: not said
    effort: str | None = None  # of reasoning: none, minimal, low, medium, high ...; None: not said
    thinking_budget: int | None = None  # tokens of reasoning at most; None: not said
    num_samples: int = 1  # answers to the prompt that are asked for at once (n)
    is_batch: bool = False  # every message of the prompt is a prompt of its own
    results: tuple[PlannedResult, ...] = ()  # of tools, that are new in this prompt
    group: int | None = None  # requests that ask the same: a rollout's samples, rounds of votes


class Session(Struct, frozen=True):
    """Requests that wait for each other; a lone request is a session of one.

    By default each waits for the one before it. With `after` they are a graph: requests that wait
    for the same one fork, one that waits for several joins. A request is due when the last that it
    waits for has ended, plus its gap; but not earlier than its time in the session, if it has one.
    """

    id: int
    requests: tuple[Request, ...]  # each stands behind all that it waits for
    gaps_s: tuple[float, ...] = ()  # think or tool time before request i + 1; len(requests) - 1
    earliest_s: tuple[float, ...] = ()  # from the session's start; request i + 1 is not due before
    start_s: float | None = None  # when a trace says that it began, from the trace's first row
    history: Literal["scripted", "live"] = "scripted"
    # scripted: each request's prompt is complete as it stands;
    # live: the model's real reply is appended to the messages before the next turn's own
    after: tuple[tuple[int, ...], ...] | None = None  # what request i + 1 waits for, by position
    # (): the start of the session. A live request goes on with the conversation of the first named
    box: ToolBox | None = None  # an agent's: what answers its calls. Then the session is live, and
    # ends before its last request where an answer calls no tool
    keep_reasoning: bool = False  # an agent's: what it thought goes back with what it said
    fresh: tuple[int, ...] = ()  # live requests that begin a new one instead: a sub-agent's first

    def __post_init__(self) -> None:
        if self.after is not None:
            assert len(self.after) == len(self.requests) - 1, "request 0 waits for nothing"
            for turn, parents in enumerate(self.after, start=1):
                assert all(0 <= parent < turn for parent in parents), "parents come first"
                assert len(set(parents)) == len(parents), "each is named once"

    def waits_for(self, turn: int) -> tuple[int, ...]:
        """Positions of the requests that have to end before request `turn` is due."""
        if turn == 0:
            return ()
        return (turn - 1,) if self.after is None else self.after[turn - 1]
