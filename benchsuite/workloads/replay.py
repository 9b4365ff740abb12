"""From the rows of a trace to sessions in time: grouping, slicing, scaling. Pure; reads no file."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from benchsuite import streams
from benchsuite.errors import TraceError
from benchsuite.workloads.blocks import HashIds, leading, num_blocks
from benchsuite.workloads.formats.base import Name, TraceRow


class Recorded(NamedTuple):
    """A session of a trace; rows in an order in which each stands behind those it waits for."""

    start_s: float | None  # from the trace's first; None: the trace has no times
    rows: tuple[TraceRow, ...]
    copy: int = 0  # 0: as recorded; others were added by a rate scale above 1
    after: tuple[tuple[int, ...], ...] | None = None  # as in request.Session

    def waits_for(self, turn: int) -> tuple[int, ...]:
        """Positions of the rows that row `turn` waits for."""
        if turn == 0:
            return ()
        return (turn - 1,) if self.after is None else self.after[turn - 1]

    def goes_on_with(self, turn: int) -> int | None:
        """The row whose conversation row `turn` continues; None: it begins one."""
        parents = self.waits_for(turn)
        return parents[0] if parents and self.rows[turn].messages is None else None


class Sizes(NamedTuple):
    """What is asked for one row."""

    prompt_tokens: int
    output_tokens: int
    block_tokens: int = 1
    hash_ids: HashIds = ()


def group(path: str, rows: Iterable[TraceRow]) -> tuple[list[Recorded], list[TraceError]]:
    """Sessions by start, in seconds from the first one's; equal starts keep the file's order.

    Beside them one error for each row of a session that cannot be put in time or in order.
    """
    turns: dict[Name | tuple[int], list[TraceRow]] = {}
    for row in rows:
        # A tuple is no session id that a file could hold.
        key = (row.line,) if row.session_id is None else row.session_id
        turns.setdefault(key, []).append(row)
    is_timed = any(found[0].arrival_s is not None for found in turns.values())
    known: list[Recorded] = []
    errors: list[TraceError] = []
    for found in turns.values():
        try:
            known.append(_session(found, is_timed=is_timed))
        except ValueError as error:
            problem = f"session {found[0].session_id}: {error}"
            errors += [TraceError(path, row.line, problem) for row in found]
    if not is_timed:
        return known, errors
    origin_s = min((_start_s(session) for session in known), default=0.0)
    timed = [session._replace(start_s=_start_s(session) - origin_s) for session in known]
    return sorted(timed, key=_start_s), errors


def _session(rows: Sequence[TraceRow], *, is_timed: bool) -> Recorded:
    """Raises ValueError that says what does not fit together."""
    first, *later = rows
    if first.gap_s is not None or (is_timed and first.arrival_s is None):
        raise ValueError("expected arrival_s in its first row, then gap_s")
    if any(row.gap_s is None and row.arrival_s is None for row in later):
        raise ValueError("expected gap_s or arrival_s in each row but the first")
    if not is_timed and any(row.gap_s is None for row in later):
        raise ValueError("expected gap_s in each later row, or arrival_s in the first")
    position: dict[Name, int] = {}
    after: list[tuple[int, ...]] = []
    for turn, row in enumerate(rows):
        if turn or row.after:
            after.append(_positions(row, turn, position))
        if row.id is not None:
            position[row.id] = turn
    is_line = all(parents == (turn,) for turn, parents in enumerate(after))
    return Recorded(first.arrival_s, tuple(rows), after=None if is_line else tuple(after))


def _positions(row: TraceRow, turn: int, position: Mapping[Name, int]) -> tuple[int, ...]:
    if row.after is None:
        return (turn - 1,)
    unknown = [name for name in row.after if name not in position]
    if unknown:
        raise ValueError(f"line {row.line} waits for {unknown[0]!r}: expected an earlier row's id")
    return tuple(dict.fromkeys(position[name] for name in row.after))


def _start_s(session: Recorded) -> float:
    assert session.start_s is not None, "the trace has times"
    return session.start_s


def cut(
    sessions: Sequence[Recorded], start_s: float, duration_s: float | None, requests: int | None
) -> list[Recorded]:
    """Sessions that start in [start_s, start_s + duration_s), times counted from `start_s`.

    No further one starts once `requests` requests are in. A trace without times is all there is.
    """
    end_s = float("inf") if duration_s is None else start_s + duration_s
    chosen: list[Recorded] = []
    num_requests = 0
    for session in sessions:
        if requests is not None and num_requests >= requests:
            break
        if session.start_s is None:
            chosen.append(session)
        elif start_s <= session.start_s < end_s:
            chosen.append(session._replace(start_s=session.start_s - start_s))
        else:
            continue
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
    if scale == 1:
        return list(sessions)
    span_s = _start_s(sessions[-1]) if sessions else 0.0
    shift_s = min(copy_shift_s, span_s)
    played: list[Recorded] = []
    for copy in range(ceil(scale)):
        rng = streams.rng(seed, "rate_scale", copy)
        for session in sessions:
            is_kept, moved_s = rng.random() < scale - copy, _start_s(session)
            if copy:
                moved_s = _folded(moved_s + rng.uniform(-shift_s, shift_s), span_s)
            if is_kept:
                played.append(session._replace(start_s=moved_s, copy=copy))
    return sorted(played, key=_start_s)


def _folded(time_s: float, span_s: float) -> float:
    """`time_s` mirrored at 0 and at `span_s`; it is outside by `span_s` at most."""
    return span_s - abs(span_s - abs(time_s))


def shortened(session: Recorded, turns: int | None) -> Recorded:
    """The first `turns` rows of it."""
    if turns is None or len(session.rows) <= turns:
        return session
    after = session.after and session.after[: turns - 1]
    return session._replace(rows=session.rows[:turns], after=after)


def scale_tokens(row: TraceRow, block_tokens: int, scale: float) -> Sizes:
    """Lengths times `scale`, at least 1 token each; a prompt with its own messages has 0.

    With hash ids the blocks are scaled, so that what was shared stays shared: all blocks but the
    last have round(block_tokens * scale) tokens, the last its own length times `scale`. A row that
    does not say how long its output was has 0 here. What stands behind the last block is scaled as
    it is.
    """
    output_tokens = 0
    if row.output_tokens is not None:
        output_tokens = max(1, round(row.output_tokens * scale))
    if row.messages is not None or row.new_messages is not None or row.prompt_tokens is None:
        return Sizes(0, output_tokens)
    if not row.hash_ids:
        return Sizes(max(1, round(row.prompt_tokens * scale)), output_tokens)
    block_tokens = row.block_tokens or block_tokens
    block = max(1, round(block_tokens * scale))
    num = num_blocks(row.hash_ids)
    over = row.prompt_tokens - num * block_tokens  # behind the last block, or missing in it
    if over > 0:
        return Sizes(num * block + round(over * scale), output_tokens, block, row.hash_ids)
    last = min(block, max(1, round((block_tokens + over) * scale)))
    return Sizes((num - 1) * block + last, output_tokens, block, row.hash_ids)


def limit_tokens(sizes: Sizes, prompt_tokens: int | None, output_tokens: int | None) -> Sizes:
    """`sizes` clipped to the limits, where there are any; a prompt keeps its beginning."""
    prompt = (
        sizes.prompt_tokens if prompt_tokens is None else min(sizes.prompt_tokens, prompt_tokens)
    )
    output = (
        sizes.output_tokens if output_tokens is None else min(sizes.output_tokens, output_tokens)
    )
    blocks = -(-prompt // sizes.block_tokens)
    return Sizes(prompt, output, sizes.block_tokens, leading(sizes.hash_ids, blocks))
