"""Replay: the rows of a production trace become sessions, with prompts made of real text."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.request import Prompt, Request, Scripted, Session
from benchsuite.spec import Count, Positive, Seconds, Spec
from benchsuite.workloads import replay
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.formats.base import TraceRow
from benchsuite.workloads.prompts import Piece, Pieces
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


class Trace(Spec, frozen=True, tag="trace"):
    """Replay the rows of a trace: its times, lengths and shared prefixes; prompts of real text.

    In this order: `slice` cuts a piece out. `rate_scale` below 1 keeps each session with that
    probability (thinning, which makes bursts milder); above 1 adds copies with texts of their own
    (superposition), moved by up to `copy_shift`: a short one keeps the rate's shape over time, one
    as long as the slice makes the copies independent. `time_scale` stretches times and gaps (2 =
    twice as long, half the rate, as bursty as before). `token_scale` multiplies lengths, of hash
    blocks too. Lengths over a limit are clipped, or their sessions left out (`over_limit: skip`).
    Rows that bring their own messages are sent as they are.
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
    over_limit: Literal["clip", "skip"] = "clip"
    on_bad_row: Literal["fail", "skip"] = "fail"
    ignore_eos: bool = True

    def sessions(self, tokenizer: Tokenizer, seed: int) -> Iterator[Session]:
        """Sessions with `start_s` from the beginning of the slice."""
        kept = [session for session in self._read().selected if self._is_kept(session)]
        played = replay.scale_rate(kept, self.rate_scale, self.copy_shift, seed)
        num_requests = 0
        for index, recorded in enumerate(played):
            first = num_requests
            num_requests += len(recorded.rows)
            yield Session(
                id=index,
                requests=tuple(
                    self._request(recorded, turn, first, tokenizer, seed)
                    for turn in range(len(recorded.rows))
                ),
                gaps_s=tuple((row.gap_s or 0.0) * self.time_scale for row in recorded.rows[1:]),
                start_s=recorded.start_s * self.time_scale,
            )

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
        )

    def notes(self) -> tuple[str, ...]:
        facts = self.facts()
        of_rows = f"of {facts.num_selected} trace rows"
        found = (
            (facts.num_broken, f"broken trace rows were skipped; the first: {facts.first_broken}"),
            (facts.num_left_out, f"{of_rows} were left out: their session is over a limit"),
            (facts.num_clipped, f"{of_rows} were clipped to a limit"),
            (facts.num_raised, f"{of_rows} recorded no output and ask for 1 token"),
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
        if ungrouped and self.on_bad_row == "fail":
            raise ungrouped[0]
        selected = replay.cut(sessions, self.slice.start, self.slice.duration, self.slice.requests)
        if not selected:
            last_s = sessions[-1].start_s if sessions else 0.0
            raise ScenarioError(
                f"{self.source.path}: no row in the slice; its {len(sessions)} sessions start "
                f"between 0 s and {last_s:g} s"
            )
        num_rows = len(rows) + len(broken)
        return _Reading(selected, num_rows, broken + ungrouped)

    def _is_kept(self, session: Recorded) -> bool:
        return self.over_limit == "clip" or not any(map(self._is_over_limit, session.rows))

    def _is_over_limit(self, row: TraceRow) -> bool:
        sizes = self._scaled(row)
        return sizes != self._limited(sizes)

    def _scaled(self, row: TraceRow) -> Sizes:
        return replay.scale_tokens(row, self.source.block_tokens, self.token_scale)

    def _limited(self, sizes: Sizes) -> Sizes:
        return replay.limit_tokens(sizes, self.max_prompt_tokens, self.max_output_tokens)

    def _request(
        self, recorded: Recorded, turn: int, first: int, tokenizer: Tokenizer, seed: int
    ) -> Request:
        """Turn `turn` of a session whose first request has the id `first`."""
        row = recorded.rows[turn]
        sizes = self._limited(self._scaled(row))
        if row.messages is None:
            pieces = _pieces(sizes, recorded.copy, first)
            prompt: Prompt = Pieces(tokenizer, seed, pieces)
            prompt_tokens = sizes.prompt_tokens
        else:
            prompt_tokens = sum(tokenizer.counts([message.text for message in row.messages]))
            prompt = Scripted(row.messages, prompt_tokens)
        return Request(
            id=first + turn,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            max_output_tokens=sizes.output_tokens,
            ignore_eos=self.ignore_eos,
            slo_class=row.slo_class,
            expected=row.expected,
            grader=row.grader,
        )


class _Reading(NamedTuple):
    selected: list[Recorded]
    num_rows: int
    broken: list[TraceError]


def _pieces(sizes: Sizes, copy: int, first: int) -> tuple[Piece, ...]:
    """One per hash block; without blocks one, from the stream of the session's first request."""
    if not sizes.hash_ids:
        return (Piece(("prompt", first), sizes.prompt_tokens),)
    last = sizes.prompt_tokens - sizes.block_tokens * (len(sizes.hash_ids) - 1)
    lengths = [sizes.block_tokens] * (len(sizes.hash_ids) - 1) + [last]
    return tuple(
        Piece(("block", copy, hash_id), num_tokens)
        for hash_id, num_tokens in zip(sizes.hash_ids, lengths, strict=True)
    )
