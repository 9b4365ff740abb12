"""AIPerf's DAG JSONL: conversations that fork, spawn sub-agents and join them."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.formats.reading import Found, objects


class _Fork(Struct):
    child: str
    background: bool = False


class _Spawn(Struct):
    children: list[str]
    join_at: int | None = None  # the turn that waits for them; None: the next


class _Turn(Struct):
    messages: list[dict[str, Any]]
    model: str | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    forks: list[str | _Fork] = []
    spawns: list[str | _Spawn] = []
    delay: Annotated[float, Meta(ge=0)] = 0.0  # milliseconds


class _Conversation(Struct):
    session_id: str
    turns: Annotated[list[_Turn], Meta(min_length=1)]
    pre_session_spawns: list[str] = []


class AIPerfDag(Spec, frozen=True, tag="aiperf_dag"):
    """AIPerf's DAG JSONL: a conversation a line; forks go on with it, spawns begin their own.

    A conversation and all that it leads to is one session, live: replies were not recorded. A turn
    waits for the turn before, and for those spawned children that join at it.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: DataPath  # the JSONL, plain or gzipped

    def rows(self) -> Iterator[TraceRow | TraceError]:
        known: dict[str, tuple[Found, _Conversation]] = {}
        for found in objects(self.path, _Conversation):
            if isinstance(found, TraceError):
                yield found
            elif found[1].session_id in known:
                name = found[1].session_id
                yield TraceError(self.path, found[0].line, f"session_id: {name!r} stands twice")
            else:
                known[found[1].session_id] = found
        children = {name for _, one in known.values() for name in _children(one)}
        for name, (place, _) in known.items():
            if name in children:
                continue
            try:
                rows = list(_Graph(known, name).rows())
            except ValueError as error:
                yield TraceError(self.path, place.line, str(error))
            else:
                yield from rows


class _Graph:
    """One session, from the conversation that nobody calls."""

    def __init__(self, known: dict[str, tuple[Found, _Conversation]], root: str) -> None:
        self._known, self._root = known, root
        self._begun: list[str] = []

    def rows(self) -> Iterator[TraceRow]:
        for early in self._known[self._root][1].pre_session_spawns:
            yield from self._conversation(early, None, is_fork=False)
        yield from self._conversation(self._root, None, is_fork=False)

    def _conversation(self, name: str, before: str | None, *, is_fork: bool) -> Iterator[TraceRow]:
        """Depth first, so that what a turn waits for stands before it."""
        if name in self._begun or name not in self._known:
            what = "leads back to itself" if name in self._begun else "is not in the file"
            raise ValueError(f"conversation {name!r} {what}")
        self._begun.append(name)
        place, conversation = self._known[name]
        joins: dict[int, list[str]] = {}
        for at, turn in enumerate(conversation.turns):
            here = f"{name}.{at}"
            goes_on = at > 0 or is_fork
            is_first = len(self._begun) == 1 and at == 0
            raw = place.raw["turns"][at]
            extra = {key: value for key, value in raw.items() if key not in _TOLD}
            if at == 0:
                extra |= place.rest(_Conversation) or {}
            messages = tuple(chat.message(one) for one in turn.messages)
            yield TraceRow(
                line=place.line,
                session_id=self._root,
                id=here,
                after=None if is_first else (*([before] if before else []), *joins.get(at, ())),
                agent=None if name == self._root else name,
                gap_s=None if is_first else turn.delay / 1000,
                output_tokens=turn.max_tokens,
                messages=None if goes_on else messages,
                new_messages=messages if goes_on else None,
                tools=None if turn.tools is None else tuple(chat.tool(t) for t in turn.tools),
                model=turn.model,
                extra=extra or None,
            )
            for fork in turn.forks:
                child = fork if isinstance(fork, str) else fork.child
                yield from self._conversation(child, here, is_fork=True)
            for spawn in turn.spawns:
                wanted = [spawn] if isinstance(spawn, str) else spawn.children
                join = None if isinstance(spawn, str) else spawn.join_at
                for child in wanted:
                    yield from self._conversation(child, here, is_fork=False)
                    last = len(self._known[child][1].turns) - 1
                    joins.setdefault(at + 1 if join is None else join, []).append(f"{child}.{last}")
            before = here


def _children(conversation: _Conversation) -> Iterator[str]:
    yield from conversation.pre_session_spawns
    for turn in conversation.turns:
        yield from (fork if isinstance(fork, str) else fork.child for fork in turn.forks)
        for spawn in turn.spawns:
            yield from [spawn] if isinstance(spawn, str) else spawn.children


_TOLD = {"messages", "model", "max_tokens", "tools", "delay"}
