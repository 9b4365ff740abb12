"""From the rows of a trace to sessions in time: grouping, slicing, scaling. Pure; reads no file."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from benchsuite import streams
from benchsuite.errors import TraceError
from benchsuite.workloads.formats.base import TraceRow


class Recorded(NamedTuple):
    """A session of a trace; rows in the order of its turns."""

    start_s: float
    rows: tuple[TraceRow, ...]
    copy: int = 0  # 0: as recorded; others were added by a rate scale above 1


class Sizes(NamedTuple):
    """What is asked for one row."""

    prompt_tokens: int
    output_tokens: int
    block_tokens: int = 1
    hash_ids: tuple[int, ...] = ()


def group(path: str, rows: Iterable[TraceRow]) -> tuple[list[Recorded], list[TraceError]]:
    """Sessions by start, in seconds from the first one's; equal starts keep the file's order.

    Beside them one error for each row of a session whose first row has no `arrival_s`, or a later
    one no `gap_s`: its turns cannot be put in time.
    """
    turns: dict[str | int | tuple[int], list[TraceRow]] = {}
    for row in rows:
        # A tuple is no session id that a file could hold.
        key = (row.line,) if row.session_id is None else row.session_id
        turns.setdefault(key, []).append(row)
    known: list[Recorded] = []
    errors: list[TraceError] = []
    for first, *later in turns.values():
        if first.arrival_s is not None and all(row.gap_s is not None for row in later):
            known.append(Recorded(first.arrival_s, (first, *later)))
        else:
            problem = f"session {first.session_id}: expected arrival_s in its first row, then gap_s"
            errors += [TraceError(path, row.line, problem) for row in (first, *later)]
    origin_s = min((session.start_s for session in known), default=0.0)
    timed = [session._replace(start_s=session.start_s - origin_s) for session in known]
    return sorted(timed, key=lambda session: session.start_s), errors


def cut(
    sessions: Sequence[Recorded], start_s: float, duration_s: float | None, requests: int | None
) -> list[Recorded]:
    """Sessions that start in [start_s, start_s + duration_s), times counted from `start_s`.

    No further one starts once `requests` requests are in.
    """
    end_s = float("inf") if duration_s is None else start_s + duration_s
    chosen: list[Recorded] = []
    num_requests = 0
    for session in sessions:
        if start_s <= session.start_s < end_s and (requests is None or num_requests < requests):
            chosen.append(session._replace(start_s=session.start_s - start_s))
            num_requests += len(session.rows)
    return chosen


def scale_rate(
    sessions: Sequence[Recorded], scale: float, copy_shift_s: float, seed: int
) -> list[Recorded]:
    """`scale` times as many sessions over the same time, by start.

    Each session is there floor(scale) times, and once more with probability scale - floor(scale).
    The first time it starts as recorded; every other time up to `copy_shift_s` earlier or later,
    drawn evenly and folded back at both ends, so that bursts do not repeat in step.
    """
    span_s = sessions[-1].start_s if sessions else 0.0
    shift_s = min(copy_shift_s, span_s)
    played: list[Recorded] = []
    for copy in range(ceil(scale)):
        rng = streams.rng(seed, "rate_scale", copy)
        for session in sessions:
            is_kept, moved_s = rng.random() < scale - copy, session.start_s
            if copy:
                moved_s = _folded(moved_s + rng.uniform(-shift_s, shift_s), span_s)
            if is_kept:
                played.append(session._replace(start_s=moved_s, copy=copy))
    return sorted(played, key=lambda session: session.start_s)


def _folded(time_s: float, span_s: float) -> float:
    """`time_s` mirrored at 0 and at `span_s`; it is outside by `span_s` at most."""
    return span_s - abs(span_s - abs(time_s))


def scale_tokens(row: TraceRow, block_tokens: int, scale: float) -> Sizes:
    """Lengths times `scale`, at least 1 token each; a prompt with its own messages has 0.

    With hash ids the blocks are scaled, so that what was shared stays shared: all blocks but the
    last have round(block_tokens * scale) tokens, the last its own length times `scale`.
    """
    output_tokens = max(1, round(row.output_tokens * scale))
    if row.prompt_tokens is None:
        return Sizes(0, output_tokens)
    if not row.hash_ids:
        return Sizes(max(1, round(row.prompt_tokens * scale)), output_tokens)
    block = max(1, round(block_tokens * scale))
    full_blocks = len(row.hash_ids) - 1
    recorded_last = row.prompt_tokens - full_blocks * block_tokens
    last = min(block, max(1, round(recorded_last * scale)))
    return Sizes(full_blocks * block + last, output_tokens, block, row.hash_ids)


def limit_tokens(sizes: Sizes, prompt_tokens: int | None, output_tokens: int | None) -> Sizes:
    """`sizes` clipped to the limits, where there are any; a prompt keeps its beginning."""
    prompt = (
        sizes.prompt_tokens if prompt_tokens is None else min(sizes.prompt_tokens, prompt_tokens)
    )
    output = (
        sizes.output_tokens if output_tokens is None else min(sizes.output_tokens, output_tokens)
    )
    blocks = -(-prompt // sizes.block_tokens)
    return Sizes(prompt, output, sizes.block_tokens, sizes.hash_ids[:blocks])
