"""What was said in a recorded session before each of its turns. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from benchsuite.request import Message, Prompt, Scripted, Tool
from benchsuite.workloads.replay import Recorded
from benchsuite.workloads.tokenizer import Tokenizer


class Conversation:
    """One session's messages, by turn; each is counted once, however many prompts it stands in.

    It is live if that was asked for, or if a turn follows a reply that nobody recorded: then a
    prompt is what the turn itself adds, and the model's own replies go before it.

    A prompt counts the schemas of its tools, which servers write in front of it; one that only adds
    to a conversation does not.
    """

    def __init__(self, recorded: Recorded, tokenizer: Tokenizer, *, is_live: bool) -> None:
        self._rows, self._tokenizer = recorded.rows, tokenizer
        self._before = [recorded.goes_on_with(turn) for turn in range(len(recorded.rows))]
        talks = [row.new_messages is not None for row in recorded.rows]
        follows = {before for before, does in zip(self._before, talks, strict=True) if does}
        is_cut = any(turn is not None and self._rows[turn].reply is None for turn in follows)
        self.is_live = any(talks) and (is_live or is_cut)
        self.fresh: tuple[int, ...] = ()
        if self.is_live:
            starts = (turn for turn, before in enumerate(self._before) if before is None)
            self.fresh = tuple(turn for turn in starts if turn)
        self._prompts: dict[int, Scripted] = {}
        for turn, row in enumerate(recorded.rows):
            if row.messages is not None or row.new_messages is not None:
                self._prompts[turn] = self._written(turn)

    def prompt(self, turn: int) -> Prompt | None:
        """None: the row brings no messages."""
        return self._prompts.get(turn)

    def prompt_tokens(self, turn: int) -> int:
        return self._prompts[turn].prompt_tokens

    def reply_tokens(self, turn: int) -> int | None:
        """Of the recorded answer, what it thought and its tool calls included."""
        reply = self._rows[turn].reply
        return None if reply is None else self._count((reply,))

    def tools(self, turn: int) -> tuple[Tool, ...]:
        """The row's own, or else those of the one whose conversation it goes on with."""
        at: int | None = turn
        while at is not None:
            tools = self._rows[at].tools
            if tools is not None:
                return tools
            at = self._before[at]
        return ()

    def _written(self, turn: int) -> Scripted:
        row, before = self._rows[turn], self._before[turn]
        own = row.messages or row.new_messages or ()
        if before is None or before not in self._prompts:
            return Scripted(own, self._count(own) + self._count_tools(turn))
        if self.is_live:
            return Scripted(own, self._count(own))
        earlier, reply = self._prompts[before], self._rows[before].reply
        added = own if reply is None else (reply, *own)
        num_tokens = earlier.prompt_tokens + self._count(added)
        if row.tools is not None:
            num_tokens += self._count_tools(turn) - self._count_tools(before)
        return Scripted((*earlier.messages, *added), num_tokens)

    def _count_tools(self, turn: int) -> int:
        tools = self.tools(turn)
        return self._tokenizer.count(schemas(tools)) if tools else 0

    def _count(self, messages: Iterable[Message]) -> int:
        return sum(self._tokenizer.counts([words(message) for message in messages]))


def schemas(tools: Sequence[Tool]) -> str:
    """Tools as JSON, as near as one text comes to what servers' templates make of them."""
    return msgspec.json.encode(tools).decode()


def words(message: Message) -> str:
    """All that a model reads or writes of a message; images and sound have no words."""
    calls = [f"{call.name} {call.arguments}" for call in message.tool_calls]
    return "\n".join(part for part in (message.reasoning, message.text, *calls) if part)
