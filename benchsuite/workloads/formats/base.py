"""What a trace format gives: rows. Each says when a request came, what it asked, what came of it.

A row is also a line of the native form (`jsonl.py`): whatever one format knows has a place here.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.request import Grader, Message, Tool
from benchsuite.workloads.blocks import HashIds

NotNegative = Annotated[float, Meta(ge=0)]
Tokens = Annotated[int, Meta(ge=0)]
Name = str | int


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of a request when it was recorded. Nothing of it is sent."""

    error: str | None = None  # why it failed; None: it did not, as far as the record says
    ttft_s: NotNegative | None = None  # from when it came to its first token
    e2e_s: NotNegative | None = None  # from when it came to its end
    finish_reason: str | None = None
    cached_tokens: Tokens | None = None  # of the prompt, found in a prefix cache
    reasoning_tokens: Tokens | None = None  # of the output


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One recorded request.

    Rows of one `session_id` belong together; each stands behind those that it waits for. The first
    may have `arrival_s`. A later one has `gap_s`, counted from the end of the last that it waits
    for; or else `arrival_s`, before which it is not due. Where it has both, `gap_s` rules.

    The prompt is `messages`; or `new_messages` behind the prompt and the reply of the first row
    that it waits for; or any text of `prompt_tokens` tokens, with equal blocks where hash ids are.
    """

    session_id: Name | None = None  # None: a session of its own
    id: Name | None = None  # by which other rows of the session name it in `after`
    after: tuple[Name, ...] | None = None  # what it waits for; None: the row before; []: nothing
    agent: Name | None = None  # who asks within the session; None: the session's own agent
    arrival_s: float | None = None  # from any one origin
    gap_s: NotNegative | None = None  # think or tool time
    prompt_tokens: Tokens | None = None  # of the whole prompt, earlier turns included
    output_tokens: Tokens | None = None  # None: as many as `reply` has
    hash_ids: HashIds = ()  # by block of the prompt, the last may be partial; [first, n]: a run
    block_tokens: Annotated[int, Meta(ge=1)] | None = None  # that a hash id stands for
    hash_scope: Literal["trace", "session"] = "trace"  # within which equal ids are equal text
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)] | None = None
    new_messages: tuple[Message, ...] | None = None
    reply: Message | None = None  # what the model answered
    tools: tuple[Tool, ...] | None = (
        None  # None: those of the row whose conversation it goes on with
    )
    tool_choice: str | None = None
    effort: str | None = None  # of reasoning
    thinking_budget: Tokens | None = None
    num_samples: Annotated[int, Meta(ge=1)] = 1
    num_images: Tokens = 0  # that came with the prompt, where the record does not hold them
    slo_class: str = "default"
    priority: int | None = None
    tenant: str | None = None
    model: str | None = None  # that was asked then; not sent
    expected: str | None = None
    grader: Grader | None = None
    outcome: Outcome | None = None
    extra: dict[str, Any] | None = None  # what the format says besides, in its own words


class TraceRow(Row, frozen=True, kw_only=True):
    """A row, and where it stands."""

    line: int  # in the file, from 1


class TraceSource(Protocol):
    """One file in one format; knows nothing of slices, scales or prompts."""

    @property
    def path(self) -> str: ...

    @property
    def block_tokens(self) -> int:
        """Tokens that one entry of `hash_ids` stands for in rows that do not say it themselves."""
        ...

    def rows(self) -> Iterator[TraceRow | TraceError]:
        """Rows in file order; a broken row is given as the error that describes it.

        Raises ScenarioError if the file cannot be read, TraceError if it is of another format.
        """
        ...
