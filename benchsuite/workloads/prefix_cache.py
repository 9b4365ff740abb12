"""How much of a workload's prompts a prefix cache could know: prompts as blocks, and an LRU cache.

Pure. The cache knows nothing of a server: no request is under way while another is looked up, so
what it finds is what a server can find at best.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from benchsuite.request import Message, Prompt, Scripted, Tool
from benchsuite.workloads.blocks import HashIds, Run, behind, num_equal, unpacked
from benchsuite.workloads.conversation import schemas, words
from benchsuite.workloads.prompts import Blocks, Pieces

DEFAULT_BLOCK_TOKENS: Final = 16
_IDS: Final = 1 << 40  # more than any trace has in one scope

Segment = tuple[object, int]
"""A stretch of a prompt: what it is, by which equal stretches are known, and its tokens."""


class BlockKeys:
    """A number for each block of a prompt, equal where all up to its end is equal.

    Blocks of a trace with hash ids are the trace's own, unless other `block_tokens` are asked for.
    """

    def __init__(self, block_tokens: int | None, count: Callable[[str], int]) -> None:
        self._block_tokens, self._count = block_tokens, count
        self._numbers: dict[object, int] = {}
        self._scopes: dict[object, int] = {}
        self._tokens: dict[str, int] = {}

    def of(self, prompt: Prompt, tools: Sequence[Tool] = ()) -> HashIds:
        """Of whole blocks, and of the partial one that a trace has an id for; packed as they are
        there. The schemas of `tools` stand before messages that are sent as they are."""
        if isinstance(prompt, Blocks) and self._block_tokens in (None, prompt.block_tokens):
            offset = self._scopes.setdefault(prompt.scope, len(self._scopes) + 1) * _IDS
            return tuple(_moved(run, offset) for run in prompt.hash_ids)
        segments = self._segments(prompt)
        if tools and isinstance(prompt, Scripted):
            offered = schemas(tools)
            segments.insert(0, (offered, self._tokens_of(offered)))
        return tuple(self._chained(segments))

    def block_tokens(self, prompt: Prompt) -> int:
        own = prompt.block_tokens if isinstance(prompt, Blocks) else DEFAULT_BLOCK_TOKENS
        return self._block_tokens or own

    def _chained(self, segments: Sequence[Segment]) -> list[int]:
        """A block is known by the block before it and the stretches that it is made of."""
        size = self._block_tokens or DEFAULT_BLOCK_TOKENS
        keys: list[int] = []
        before, parts, room = 0, [], size
        for what, num_tokens in segments:
            at = 0
            while at < num_tokens:
                taken = min(room, num_tokens - at)
                parts.append((what, at, taken))
                at, room = at + taken, room - taken
                if room == 0:
                    before = self._numbers.setdefault((before, *parts), len(self._numbers) + 1)
                    keys.append(before)
                    parts, room = [], size
        return keys

    def _segments(self, prompt: Prompt) -> list[Segment]:
        if isinstance(prompt, Blocks):
            return list(_of_blocks(prompt))
        if isinstance(prompt, Pieces):
            return [(piece.stream, piece.num_tokens) for piece in prompt.pieces]
        messages = prompt.messages if isinstance(prompt, Scripted) else prompt.render().messages
        return [(self._known(message), self._tokens_of(words(message))) for message in messages]

    def _known(self, message: Message) -> object:
        return (message.role, words(message))

    def _tokens_of(self, text: str) -> int:
        found = self._tokens.get(text)
        if found is None:
            found = self._tokens[text] = self._count(text)
        return found


def _moved(run: Run, offset: int) -> Run:
    return run + offset if isinstance(run, int) else (run[0] + offset, run[1])


def _of_blocks(prompt: Blocks) -> Iterator[Segment]:
    left = prompt.num_tokens
    for hash_id in unpacked(prompt.hash_ids):
        yield (*prompt.scope, hash_id), min(left, prompt.block_tokens)
        left -= prompt.block_tokens
    if left > 0:
        yield prompt.tail, left


class PrefixCache:
    """Least recently used blocks go first; of one prompt the last of them before the first."""

    def __init__(self, capacity_blocks: int | None) -> None:
        """None: without end."""
        self._capacity = capacity_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self._latest: dict[int, HashIds] = {}  # by its first block, where nothing is forgotten

    def ask(self, keys: HashIds) -> int:
        """How many of the leading blocks were there; afterwards all are, if there is room."""
        if self._capacity is None:
            return self._ask_endless(keys)
        num_hits = self._num_known(unpacked(keys))
        for key in reversed(list(islice(unpacked(keys), self._capacity))):
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return num_hits

    def _ask_endless(self, keys: HashIds) -> int:
        """Turns of a conversation repeat the one before: what they share is not looked up."""
        first = next(unpacked(keys), None)
        if first is None:
            return 0
        num_same = num_equal(keys, self._latest.get(first, ()))
        rest = behind(keys, num_same)
        num_hits = num_same + self._num_known(unpacked(rest))
        self._blocks.update(dict.fromkeys(unpacked(behind(keys, num_hits))))
        self._latest[first] = keys
        return num_hits

    def _num_known(self, keys: Iterator[int]) -> int:
        """Leading ones that are there."""
        num = 0
        for key in keys:
            if key not in self._blocks:
                break
            num += 1
        return num
