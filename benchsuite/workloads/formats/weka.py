"""Agentic coding traces of kv-cache-tester (JSON; WEKA, Callan Fox): sessions with sub-agents."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from benchsuite.errors import TraceError
from benchsuite.spec import DataPath, Spec
from benchsuite.workloads.blocks import HashIds, misfit, packed
from benchsuite.workloads.formats.base import Name, Outcome, Tokens, TraceRow
from benchsuite.workloads.formats.reading import Found, objects

BLOCK_TOKENS: Final = 64
NotNegative = Annotated[float, Meta(ge=0)]


class _Request(Struct, kw_only=True, rename={"tokens_in": "in", "tokens_out": "out"}):
    """One request, or with `requests` a sub-agent: then `t` is when it ended."""

    t: NotNegative  # seconds from the start of the conversation, or of the sub-agent
    type: str  # s: streamed, n: not, subagent
    model: str | None = None
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    hash_ids: HashIds = ()  # as upstream, or as [first, how many]
    stop: str = ""
    api_time: NotNegative | None = None
    think_time: NotNegative | None = None
    ttft: NotNegative | None = None
    agent_id: str | None = None
    duration_ms: NotNegative = 0.0
    requests: tuple["_Request", ...] = ()


class _Conversation(Struct):
    id: str
    requests: tuple[_Request, ...]
    block_size: Annotated[int, Meta(ge=1)] = BLOCK_TOKENS


class Weka(Spec, frozen=True, tag="weka"):
    """Agentic coding traces of kv-cache-tester (JSON, JSONL or a folder): sub-agents, tool times.

    A conversation is a session. Sub-agents begin when the request before them has ended and run
    beside each other; the next request of the main agent waits for them. Gaps follow from the
    recorded times (`t`, `api_time`), or are `think_time` where a request's end was not recorded.
    Nothing is known of when one conversation began beside another.
    """

    path: DataPath  # a file, or the folder of a conversation each

    @property
    def block_tokens(self) -> int:
        return BLOCK_TOKENS

    def rows(self) -> Iterator[TraceRow | TraceError]:
        for found in objects(self.path, _Conversation):
            if isinstance(found, TraceError):
                yield found
            else:
                yield from _Reader(self.path, *found).rows()


class _Reader:
    """One conversation."""

    def __init__(self, path: str, found: Found, conversation: _Conversation) -> None:
        self._path, self._found, self._conversation = path, found, conversation
        self._end_s: dict[Name, float | None] = {}  # of each request so far, None: not recorded
        self._at_s: dict[Name, float] = {}

    def rows(self) -> Iterator[TraceRow | TraceError]:
        main: Name | None = None  # the main agent's latest request
        waits: list[Name] = []  # what its next one waits for besides
        rest = self._found.rest(_Conversation) or {}
        for at, request in enumerate(self._conversation.requests):
            raw = self._found.raw["requests"][at]
            if request.type != "subagent":
                after = [] if main is None else [main, *waits]
                yield self._row(at, request, raw, request.t, after, None, rest)
                main, waits, rest = at, [], {}
                continue
            start_s = request.t - request.duration_ms / 1000
            before: Name | None = main
            told = {key: value for key, value in raw.items() if key != "requests"}
            for number, one in enumerate(request.requests):
                name = f"{at}.{number}"
                after = [] if before is None else [before]
                agent = request.agent_id or str(at)
                raw_one = raw["requests"][number]
                extra = rest | ({"subagent": told} if number == 0 else {})
                yield self._row(name, one, raw_one, start_s + one.t, after, agent, extra)
                before, rest = name, {}
            if request.requests and before is not None:
                waits.append(before)
            else:
                rest |= {"subagent": told}  # one that asked nothing

    def _row(
        self,
        name: Name,
        request: _Request,
        raw: dict[str, Any],
        at_s: float,
        after: list[Name],
        agent: str | None,
        extra: dict[str, Any],
    ) -> TraceRow | TraceError:
        self._at_s[name] = at_s
        self._end_s[name] = None if request.api_time is None else at_s + request.api_time
        size = self._conversation.block_size
        if problem := misfit(request.hash_ids, request.tokens_in, size, whole=True):
            return TraceError(self._path, self._found.line, f"requests[{name}]: {problem}")
        told = {key: value for key, value in raw.items() if key not in _HELD}
        return TraceRow(
            line=self._found.line,
            session_id=self._conversation.id,
            id=name,
            after=tuple(after) if len(self._at_s) > 1 else None,
            agent=agent,
            gap_s=self._gap_s(request, at_s, after) if len(self._at_s) > 1 else None,
            prompt_tokens=request.tokens_in,
            output_tokens=request.tokens_out,
            hash_ids=packed(request.hash_ids),
            block_tokens=size,
            hash_scope="session",
            model=request.model,
            outcome=Outcome(
                ttft_s=request.ttft, e2e_s=request.api_time, finish_reason=request.stop or None
            ),
            extra=extra | told,
        )

    def _gap_s(self, request: _Request, at_s: float, after: list[Name]) -> float:
        """From the end of the last that it waits for; 0 where the clocks say less."""
        if not after:
            return at_s
        ends_s = [self._end_s[name] for name in after]
        known_s = [end_s for end_s in ends_s if end_s is not None]
        if len(known_s) == len(ends_s):
            return max(0.0, at_s - max(known_s))
        if request.think_time is not None:
            return request.think_time
        return max(0.0, at_s - max(known_s + [self._at_s[name] for name in after]))


_HELD: Final = {"model", "in", "out", "hash_ids", "stop", "api_time", "ttft"}
"""What a row has fields for; all else that is said of a request stays in `extra`."""
