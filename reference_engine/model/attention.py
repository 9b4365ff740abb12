"""Causal grouped-query attention over KV slabs, for any mix of prefill chunks and decodes.

A piece of one token is handled together with its neighbours, longer pieces one by one; decode is
nothing but a piece of one token. Rotary embedding: Su et al., arXiv:2104.09864; grouped queries:
Ainslie et al., arXiv:2305.13245; windows: Beltagy et al., arXiv:2004.05150; sinks, learnt scores
that take part in the softmax and answer nothing: gpt-oss (OpenAI, arXiv:2508.10925).
"""

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import torch
from torch import Tensor

from reference_engine.model.cache import KvCache
from reference_engine.model.linear import Linear
from reference_engine.model.norm import normalise
from reference_engine.specs import ModelShape

QUERY_ROWS = 64
"""Prefill scores are computed for so many tokens at a time: bounds memory, skips the future."""


class Piece(NamedTuple):
    """Tokens [start, start + length) of the sequence in `slot`."""

    slot: int
    start: int
    length: int


class Run(NamedTuple):
    """Single tokens in neighbouring slots, attending together to entries of [first, context).

    `bias` [num_rows, 1, 1, context - first]: 0 where a slot has a token that is seen, else -inf;
    None if all are.
    """

    row: int
    slot: int
    num_rows: int
    first: int
    context: int
    bias: Tensor | None


class Batch(NamedTuple):
    """What the layers need to know about one step's tokens; the same for every layer.

    Rows: first the `single_slots.numel()` single tokens, by ascending slot, then `chunks`.
    """

    rotation: Tensor  # complex [num_tokens, 1, head_dim / 2]
    single_slots: Tensor  # [num_singles]
    single_positions: Tensor  # [num_singles]
    runs: Mapping[int, tuple[Run, ...]]  # by window
    chunks: tuple[Piece, ...]
    future: Tensor  # [QUERY_ROWS, QUERY_ROWS], -inf above the diagonal


def in_rows(pieces: Seq[Piece]) -> list[int]:
    """The order in which pieces take rows: single tokens by slot, then the longer ones."""
    return sorted(range(len(pieces)), key=lambda i: (pieces[i].length > 1, pieces[i].slot))


def runs_of(pieces: Seq[Piece], slack_tokens: int) -> list[range]:
    """Split single-token pieces, in order of slot, into groups that attend together.

    A group pads every member to its longest context. A new one is opened where slots are not
    neighbours or where padding would read more than `slack_tokens` tokens for nothing.
    """
    groups: list[range] = []
    longest, waste = 0, 0
    for row, piece in enumerate(pieces):
        context = piece.start + 1
        first = groups[-1].start if groups else row
        more = waste + max(context - longest, 0) * (row - first) + max(longest - context, 0)
        if groups and pieces[row - 1].slot + 1 == piece.slot and more <= slack_tokens:
            groups[-1] = range(first, row + 1)
            longest, waste = max(longest, context), more
        else:
            groups.append(range(row, row + 1))
            longest, waste = context, 0
    return groups


class Planner:
    """Makes a `Batch` from pieces. Holds the tables that do not change from step to step."""

    def __init__(
        self, rotary: Tensor, slack_tokens: int, dtype: torch.dtype, windows: AbstractSet[int]
    ) -> None:
        """`windows` that layers have, 0 for none."""
        self._windows = windows
        self._rotary = rotary  # complex [max_tokens, head_dim / 2]
        self._slack_tokens = slack_tokens
        self._numbers = torch.arange(rotary.shape[0], device=rotary.device)
        square = torch.full((QUERY_ROWS, QUERY_ROWS), -torch.inf, dtype=dtype)
        self._future = square.triu_(1).to(rotary.device)

    def plan(self, pieces: Seq[Piece]) -> Batch:
        """`pieces` in the order of `in_rows`, each slot at most once."""
        singles = [piece for piece in pieces if piece.length == 1]
        chunks = tuple(pieces[len(singles) :])
        slots = torch.tensor([piece.slot for piece in singles], dtype=torch.long)
        starts = torch.tensor([piece.start for piece in singles], dtype=torch.long)
        device = self._rotary.device
        slots, starts = slots.to(device), starts.to(device)
        positions = [self._numbers[piece.start : piece.start + piece.length] for piece in chunks]
        rotation = self._rotary[torch.cat((starts, *positions))].unsqueeze(1)
        groups = runs_of(singles, self._slack_tokens)
        runs = {
            window: tuple(self._run(singles, rows, starts, window) for rows in groups)
            for window in self._windows
        }
        return Batch(rotation, slots, starts, runs, chunks, self._future)

    def _run(self, singles: Seq[Piece], rows: range, starts: Tensor, window: int) -> Run:
        contexts = [singles[row].start + 1 for row in rows]
        context, shortest = max(contexts), min(contexts)
        first = max(0, shortest - window) if window else 0
        bias = None
        if shortest < context:
            entries, newest = self._numbers[first:context], starts[rows.start : rows.stop, None]
            unseen = entries > newest
            if window:
                unseen |= entries <= newest - window
            bias = torch.zeros(unseen.shape, dtype=self._future.dtype, device=unseen.device)
            bias = bias.masked_fill_(unseen, -torch.inf)[:, None, None]
        return Run(rows.start, singles[rows.start].slot, len(rows), first, context, bias)


class Attention:
    """The attention part of one layer."""

    def __init__(
        self,
        shape: ModelShape,
        layer: int,
        qkv: Linear,
        qk_gain: Tensor | None,
        eps: Tensor,
        sinks: Tensor | None = None,
    ) -> None:
        """`qkv`, `qk_gain` and `sinks` as in `LayerWeights`."""
        self._shape, self._layer, self._eps = shape, layer, eps
        self._qkv, self._qk_gain = qkv, qk_gain
        self._window = shape.windows[layer] if shape.windows else 0
        self._sinks = None if sinks is None else sinks.view(shape.num_kv_heads, -1, 1)

    def __call__(self, x: Tensor, batch: Batch, cache: KvCache) -> Tensor:
        """Normalised `x` [num_tokens, hidden] to [num_tokens, num_heads * head_dim].

        The output projection is left to the caller, who adds the residual in the same operation.
        Writes the tokens' K and V to `cache`.
        """
        query, key, value = self._project(x, batch)
        keys, values = cache.keys[self._layer], cache.values[self._layer]
        singles = batch.single_slots.shape[0]
        outputs: list[Tensor] = []
        if singles:
            keys[batch.single_slots, :, :, batch.single_positions] = key[:singles]
            values[batch.single_slots, :, batch.single_positions] = value[:singles]
            runs = batch.runs[self._window]
            outputs += [self._attend_run(run, query, keys, values) for run in runs]
        row = singles
        for chunk in batch.chunks:
            rows = slice(row, row + chunk.length)
            tokens = slice(chunk.start, chunk.start + chunk.length)
            keys[chunk.slot, :, :, tokens] = key[rows].permute(1, 2, 0)
            values[chunk.slot, :, tokens] = value[rows].transpose(0, 1)
            outputs += self._attend_chunk(chunk, query[rows], keys, values, batch.future)
            row += chunk.length
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _project(self, x: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Query [num_tokens, num_heads, head_dim]; key and value with num_kv_heads."""
        shape = self._shape
        heads, kv_heads, dim = shape.num_heads, shape.num_kv_heads, shape.head_dim
        fused = self._qkv(x).view(-1, heads + 2 * kv_heads, dim)
        query_key, value = fused[:, : heads + kv_heads], fused[:, heads + kv_heads :]
        if self._qk_gain is not None:
            query_key = normalise(query_key, self._eps) * self._qk_gain
        pairs = torch.view_as_complex(query_key.float().reshape(*query_key.shape[:2], -1, 2))
        rotated = torch.view_as_real(pairs * batch.rotation).flatten(-2).to(x.dtype)
        return rotated[:, :heads], rotated[:, heads:], value

    def _attend_run(self, run: Run, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        kv_heads, dim = self._shape.num_kv_heads, self._shape.head_dim
        group = self._shape.num_heads // kv_heads
        slots = slice(run.slot, run.slot + run.num_rows)
        key = keys[slots].flatten(0, 1)[:, :, run.first : run.context]
        value = values[slots].flatten(0, 1)[:, run.first : run.context]
        rows = query[run.row : run.row + run.num_rows].reshape(-1, group, dim)
        scores = torch.bmm(rows, key)
        if run.bias is not None:
            scores.view(run.num_rows, kv_heads, group, -1).add_(run.bias)
        mixed = torch.bmm(scores.softmax(-1), value)
        if self._sinks is not None:
            mixed.view(run.num_rows, kv_heads, group, dim).mul_(
                self._share(scores.view(run.num_rows, kv_heads, group, 1, -1))
            )
        return mixed.view(run.num_rows, -1)

    def _share(self, scores: Tensor) -> Tensor:
        """What the sinks leave of each answer, [..., kv_heads, group, rows] of `scores` with as
        many rows: sum(e^score) / (sum(e^score) + e^sink).
        """
        assert self._sinks is not None
        return torch.sigmoid(scores.float().logsumexp(-1) - self._sinks).to(scores.dtype)

    def _attend_chunk(
        self, chunk: Piece, query: Tensor, keys: Tensor, values: Tensor, future: Tensor
    ) -> list[Tensor]:
        """`query` [length, num_heads, head_dim]; outputs [rows, num_heads * head_dim], in order."""
        kv_heads, dim = self._shape.num_kv_heads, self._shape.head_dim
        group = self._shape.num_heads // kv_heads
        outputs: list[Tensor] = []
        for part in torch.split(query, QUERY_ROWS):
            count = part.shape[0]
            start = chunk.start + len(outputs) * QUERY_ROWS
            context = start + count
            first = max(0, start + 1 - self._window) if self._window else 0
            rows = part.view(count, kv_heads, group, dim).permute(1, 2, 0, 3)
            scores = torch.bmm(
                rows.reshape(kv_heads, -1, dim), keys[chunk.slot, :, :, first:context]
            ).view(kv_heads, group, count, context - first)
            scores[..., start - first :].add_(future[:count, :count])
            if 0 < self._window < context:
                too_old = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
                scores.masked_fill_(too_old.tril_(start - first - self._window), -torch.inf)
            mixed = torch.bmm(
                scores.softmax(-1).view(kv_heads, -1, context - first),
                values[chunk.slot, :, first:context],
            ).view(kv_heads, group, count, dim)
            if self._sinks is not None:
                mixed.mul_(self._share(scores)[..., None])
            outputs.append(mixed.permute(2, 0, 1, 3).reshape(count, -1))
        return outputs
