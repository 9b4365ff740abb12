"""Replay: the rows of a production trace become sessions, with prompts made of real text."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.request import Prompt, Request, Session
from benchsuite.spec import Count, Positive, Seconds, Spec
from benchsuite.workloads import replay
from benchsuite.workloads.conversation import Conversation
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.prompts import Blocks, Piece, Pieces
from benchsuite.workloads.replay import Recorded, Sizes
from benchsuite.workloads.tokenizer import Tokenizer


class Slice(Spec, frozen=True):
    """Sessions that start in [`start`, `start` + `duration`) of the trace, in its own time.

    With `requests`, no further session starts once that many requests are in.
    """

    start: Seconds = 0.0
    duration: Seconds | None = None
    requests: Count | None = None


class TraceFacts(NamedTuple):
    """What became of a trace's rows; counted before `rate_scale`."""

    num_rows: int
    num_broken: int
    first_broken: str | None
    num_selected: int  # in the slice
    num_left_out: int  # of these: in sessions left out because a row is over a limit
    num_clipped: int  # of these: shortened to a limit
    num_raised: int  # of these: asked for 1 output token where 0 were recorded
    num_without_images: int  # of these: came with images that the trace does not hold


class Trace(Spec, frozen=True, tag="trace"):
    """Replay the rows of a trace: its times, lengths and shared prefixes; prompts of real text.

    In this order: `slice` cuts a piece out. `rate_scale` below 1 keeps each session with that
    probability (thinning, which makes bursts milder); above 1 adds copies with texts of their own
    (superposition), moved by up to `copy_shift`: a short one keeps the rate's shape over time, one
    as long as the slice makes the copies independent. `time_scale` stretches times and gaps (2 =
    twice as long, half the rate, as bursty as before). `token_scale` multiplies lengths, of hash
    blocks too. Lengths over a limit are clipped, or their sessions left out (`over_limit: skip`).
    Rows that bring their own messages are sent as they are, and what the model said between them as
    it was recorded (`replies: live`: as it says it now).
    A broken row stops the run, or is counted and left out (`on_bad_row: skip`).
    """

    is_endless: ClassVar[bool] = False

    source: TraceFormat
    slice: Slice = Slice()
    rate_scale: Positive = 1.0
    copy_shift: Seconds = 5.0
    time_scale: Positive = 1.0
    token_scale: Positive = 1.0
    max_prompt_tokens: Count | None = None
    max_output_tokens: Count | None = None
    max_turns: Count | None = None  # of a session; those behind are left out
    over_limit: Literal["clip", "skip"] = "clip"
    on_bad_row: Literal["fail", "skip"] = "fail"
    ignore_eos: bool = True
    output_tokens: Count = 256  # asked where neither a length nor a reply was recorded
    replies: Literal["recorded", "live"] = "recorded"  # what a later turn of a conversation follows

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        """Sessions with `start_s` from the beginning of the slice, if the trace has times."""
        kept = [session for session in self._read().selected if self._is_kept(session)]
        played = replay.scale_rate(kept, self.rate_scale, self.copy_shift, seed)
        num_requests = 0
        for index, recorded in enumerate(played):
            ids = range(num_requests, num_requests + len(recorded.rows))
            num_requests = ids.stop
            yield self._session(index, recorded, ids, tokenizer, seed)

    def facts(self) -> TraceFacts:
        """What the knobs did to the rows; reads the file again."""
        found = self._read()
        kept = [row for session in found.selected if self._is_kept(session) for row in session.rows]
        num_selected = sum(len(session.rows) for session in found.selected)
        return TraceFacts(
            num_rows=found.num_rows,
            num_broken=len(found.broken),
            first_broken=str(found.broken[0]) if found.broken else None,
            num_selected=num_selected,
            num_left_out=num_selected - len(kept),
            num_clipped=sum(self._is_over_limit(row) for row in kept),
            num_raised=sum(row.output_tokens == 0 for row in kept),
            num_without_images=sum(row.num_images > 0 for row in kept),
        )

    def notes(self) -> tuple[str, ...]:
        facts = self.facts()
        of_rows = f"of {facts.num_selected} trace rows"
        found = (
            (facts.num_broken, f"broken trace rows were skipped; the first: {facts.first_broken}"),
            (facts.num_left_out, f"{of_rows} were left out: their session is over a limit"),
            (facts.num_clipped, f"{of_rows} were clipped to a limit"),
            (facts.num_raised, f"{of_rows} recorded no output and ask for 1 token"),
            (facts.num_without_images, f"{of_rows} came with images, which are not sent"),
        )
        return tuple(f"{count} {sentence}" for count, sentence in found if count)

    def _read(self) -> "_Reading":
        rows: list[TraceRow] = []
        broken: list[TraceError] = []
        for row in self.source.rows():
            if isinstance(row, TraceRow):
                rows.append(row)
            elif self.on_bad_row == "fail":
                raise row
            else:
                broken.append(row)
        sessions, ungrouped = replay.group(self.source.path, rows)
        sessions = [replay.shortened(session, self.max_turns) for session in sessions]
        if sessions and sessions[0].start_s is None:
            self._refuse_times()
        if ungrouped and self.on_bad_row == "fail":
            raise ungrouped[0]
        selected = replay.cut(sessions, self.slice.start, self.slice.duration, self.slice.requests)
        if not selected:
            last_s = (sessions[-1].start_s or 0.0) if sessions else 0.0
            raise ScenarioError(
                f"{self.source.path}: no row in the slice; its {len(sessions)} sessions start "
                f"between 0 s and {last_s:g} s"
            )
        num_rows = len(rows) + len(broken)
        return _Reading(selected, num_rows, broken + ungrouped)

    def _refuse_times(self) -> None:
        if self.slice.start or self.slice.duration is not None or self.rate_scale != 1:
            raise ScenarioError(
                f"{self.source.path}: says nothing of when its sessions began: slice.start, "
                "slice.duration and rate_scale cannot be used; slice.requests and arrivals.rate can"
            )

    def _is_kept(self, session: Recorded) -> bool:
        return self.over_limit == "clip" or not any(map(self._is_over_limit, session.rows))

    def _is_over_limit(self, row: TraceRow) -> bool:
        sizes = self._scaled(row)
        return sizes != self._limited(sizes)

    def _scaled(self, row: TraceRow) -> Sizes:
        return replay.scale_tokens(row, self.source.block_tokens, self.token_scale)

    def _limited(self, sizes: Sizes) -> Sizes:
        return replay.limit_tokens(sizes, self.max_prompt_tokens, self.max_output_tokens)

    def _session(
        self, index: int, recorded: Recorded, ids: range, tokenizer: Tokenizer, seed: int
    ) -> Session:
        said = Conversation(recorded, tokenizer, is_live=self.replies == "live")
        first, *later = recorded.rows
        earliest_s = tuple(0.0 if row.gap_s is not None else _since(first, row) for row in later)
        return Session(
            id=index,
            requests=tuple(
                self._request(recorded, turn, ids, said, tokenizer, seed)
                for turn in range(len(ids))
            ),
            gaps_s=tuple((row.gap_s or 0.0) * self.time_scale for row in later),
            earliest_s=tuple(at_s * self.time_scale for at_s in earliest_s)
            if any(earliest_s)
            else (),
            start_s=None if recorded.start_s is None else recorded.start_s * self.time_scale,
            history="live" if said.is_live else "scripted",
            after=recorded.after,
            fresh=said.fresh,
        )

    def _request(
        self,
        recorded: Recorded,
        turn: int,
        ids: range,
        said: Conversation,
        tokenizer: Tokenizer,
        seed: int,
    ) -> Request:
        row = recorded.rows[turn]
        sizes = self._limited(self._scaled(row))
        output_tokens = sizes.output_tokens or self._output_tokens(said.reply_tokens(turn))
        prompt = said.prompt(turn) or _prompt(sizes, recorded, turn, ids.start, tokenizer, seed)
        return Request(
            id=ids[turn],
            prompt=prompt,
            prompt_tokens=sizes.prompt_tokens or said.prompt_tokens(turn),
            max_output_tokens=output_tokens,
            ignore_eos=self.ignore_eos,
            slo_class=row.slo_class,
            priority=row.priority,
            tenant=row.tenant,
            expected=row.expected,
            grader=row.grader,
            tools=said.tools(turn),
            tool_choice=row.tool_choice,
            effort=row.effort,
            thinking_budget=row.thinking_budget,
            num_samples=row.num_samples,
            group=ids[turn] if row.num_samples > 1 else None,
        )

    def _output_tokens(self, reply_tokens: int | None) -> int:
        """What is asked of a row that does not say how long its answer was."""
        num = self.output_tokens if reply_tokens is None else max(1, reply_tokens)
        return num if self.max_output_tokens is None else min(num, self.max_output_tokens)


class _Reading(NamedTuple):
    selected: list[Recorded]
    num_rows: int
    broken: list[TraceError]


def _since(first: TraceRow, row: TraceRow) -> float:
    """How long after its session's first row a row came."""
    assert first.arrival_s is not None, "grouped"
    assert row.arrival_s is not None, "grouped"
    return max(0.0, row.arrival_s - first.arrival_s)


def _prompt(
    sizes: Sizes, recorded: Recorded, turn: int, first: int, tokenizer: Tokenizer, seed: int
) -> Prompt:
    """One text per hash block; without blocks one, from the stream of the session's first request,
    or of the agent's within it."""
    row = recorded.rows[turn]
    if not sizes.hash_ids:
        agent = () if row.agent is None else (row.agent,)
        return Pieces(tokenizer, seed, (Piece(("prompt", first, *agent), sizes.prompt_tokens),))
    session = () if row.hash_scope == "trace" else (row.session_id or row.line,)
    return Blocks(
        tokenizer,
        seed,
        ("block", recorded.copy, *session),
        sizes.hash_ids,
        sizes.block_tokens,
        sizes.prompt_tokens,
        tail=("tail", first + turn),
    )
