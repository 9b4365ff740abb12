"""Attention that reads keys and values in the pages where they lie.

Decode (one query a sequence): each program walks a part of one sequence's context for one KV head
and all its query heads; parts are put together afterwards (Flash-Decoding, Dao et al., 2023).
Prefill: tiles of queries against all that stands before them, softmax online
(FlashAttention-2, Dao, arXiv:2307.08691).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from reference_engine.model.kernels.launch import OVERLAPPING
from reference_engine.model.paged_cache import PagedCache

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _entries(table, start, last, kv_head, kv_heads, block_size: tl.constexpr, tile: tl.constexpr):
    """Where the entries of positions [start, start + tile) lie, in heads' rows; `start` is a
    multiple of `tile`. Those from `last` on are anywhere.
    """
    if block_size % tile == 0:  # all in one block
        page = tl.load(table + start // block_size).to(tl.int64)
        first = (page * kv_heads + kv_head) * block_size + start % block_size
        return first + tl.arange(0, tile)
    place = start + tl.arange(0, tile)
    page = tl.load(table + place // block_size, place < last, 0).to(tl.int64)
    return (page * kv_heads + kv_head) * block_size + place % block_size


@triton.jit
def _decode(
    qkv,  # [num_rows, num_heads + 2 * kv_heads, dim]; of it the queries, rotated
    keys,  # [num_blocks, kv_heads, block_size, dim], of one layer, as are the values
    values,
    tables,  # [num_rows, ...] block ids
    positions,  # [num_rows] of the token that asks; its own entry is stored already
    out,  # [num_rows, num_heads, dim], or float32 [num_rows, num_heads, parts, dim]
    sums,  # float32 [num_rows, num_heads, parts, 2]: largest score (base 2), sum of weights
    table_stride,
    num_heads: tl.constexpr,
    kv_heads: tl.constexpr,
    dim: tl.constexpr,
    block_size: tl.constexpr,
    padded_group: tl.constexpr,
    parts: tl.constexpr,
    tile: tl.constexpr,
    overlaps: tl.constexpr,
):
    if overlaps:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    kv_head = tl.program_id(0)
    row = tl.program_id(1).to(tl.int64)
    part = tl.program_id(2)
    group: tl.constexpr = num_heads // kv_heads
    context = tl.load(positions + row) + 1
    length = tl.cdiv(tl.cdiv(context, tile), parts) * tile
    first = part * length
    last = tl.minimum(first + length, context)
    table = tables + row * table_stride

    member = tl.arange(0, padded_group)
    column = tl.arange(0, dim)
    head = kv_head * group + member
    asks = (row * (num_heads + 2 * kv_heads) + head[:, None]) * dim + column[None, :]
    query = tl.load(qkv + asks, (member < group)[:, None], 0.0)
    largest = tl.full([padded_group], -float("inf"), tl.float32)
    total = tl.zeros([padded_group], tl.float32)
    mixed = tl.zeros([padded_group, dim], tl.float32)
    for start in range(first, last, tile):
        place = start + tl.arange(0, tile)
        inside = place < last
        entry = _entries(table, start, last, kv_head, kv_heads, block_size, tile) * dim
        key = tl.load(keys + entry[:, None] + column[None, :], inside[:, None], 0.0)
        value = tl.load(values + entry[:, None] + column[None, :], inside[:, None], 0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * LOG2_E
        scores = tl.where(inside[None, :], scores, -float("inf"))
        new = tl.maximum(largest, tl.max(scores, 1))
        weights = tl.exp2(scores - new[:, None])
        shrink = tl.exp2(largest - new)
        total = total * shrink + tl.sum(weights, 1)
        mixed = mixed * shrink[:, None]
        mixed += tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        largest = new
    if parts == 1:
        target = (row * num_heads + head[:, None]) * dim + column[None, :]
        answer = mixed / total[:, None]
        tl.store(out + target, answer.to(out.dtype.element_ty), (member < group)[:, None])
    else:
        place_of = (row * num_heads + head) * parts + part
        tl.store(out + place_of[:, None] * dim + column[None, :], mixed, (member < group)[:, None])
        tl.store(sums + place_of * 2, largest, member < group)
        tl.store(sums + place_of * 2 + 1, total, member < group)


@triton.jit
def _combine(partial, sums, out, dim: tl.constexpr, parts: tl.constexpr, overlaps: tl.constexpr):
    if overlaps:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    head = tl.program_id(0).to(tl.int64)  # of all rows
    part = tl.arange(0, parts)
    column = tl.arange(0, dim)
    largest = tl.load(sums + (head * parts + part) * 2)
    total = tl.load(sums + (head * parts + part) * 2 + 1)
    shrink = tl.exp2(largest - tl.max(largest))
    mixed = tl.load(partial + (head * parts + part[:, None]) * dim + column[None, :])
    answer = tl.sum(mixed * shrink[:, None], 0) / tl.sum(total * shrink)
    tl.store(out + head * dim + column, answer.to(out.dtype.element_ty))


def parts_for(programs: int) -> int:
    """In how many parts a context is read, so that all multiprocessors have something to do.

    A power of two that brings `programs` (rows * KV heads) to about 512; at most 16.
    """
    wanted = max(1, 512 // programs)
    return min(16, 1 << (wanted - 1).bit_length())


def decode_attention(
    qkv: Tensor, tables: Tensor, positions: Tensor, cache: PagedCache, layer: int
) -> Tensor:
    """Of each row's query the answer, [num_rows, num_heads * dim].

    `qkv` [num_rows, (num_heads + 2 * kv_heads) * dim] with rotated queries, scaled; `tables`
    [num_rows, any] int32 block ids; `positions` [num_rows] int32.
    """
    shape, rows = cache.shape, qkv.shape[0]
    heads, kv_heads, dim = shape.num_heads, shape.num_kv_heads, shape.head_dim
    parts = parts_for(rows * kv_heads)
    out = qkv.new_empty(rows, heads * dim)
    if parts == 1:
        partial = sums = out
    else:
        partial = torch.empty(rows, heads, parts, dim, dtype=torch.float32, device=qkv.device)
        sums = torch.empty(rows, heads, parts, 2, dtype=torch.float32, device=qkv.device)
    _decode[(kv_heads, rows, parts)](
        qkv,
        cache.keys[layer],
        cache.values[layer],
        tables,
        positions,
        partial,
        sums,
        tables.stride(0),
        num_heads=heads,
        kv_heads=kv_heads,
        dim=dim,
        block_size=shape.block_size,
        padded_group=max(16, triton.next_power_of_2(heads // kv_heads)),
        parts=parts,
        tile=64,
        num_warps=4,
        num_stages=3,
        **OVERLAPPING,
    )
    if parts > 1:
        _combine[(rows * heads,)](
            partial, sums, out, dim=dim, parts=parts, num_warps=4, **OVERLAPPING
        )
    return out


@triton.jit
def _prefill(
    qkv,  # [num_tokens, num_heads + 2 * kv_heads, dim]; of it the queries, rotated
    keys,  # [num_blocks, kv_heads, block_size, dim], of one layer, as are the values
    values,
    tables,  # [num_chunks, ...] block ids
    tiles,  # [num_tiles, 4]: chunk, its row of qkv, rows of it left, its position
    out,  # [num_tokens, num_heads, dim]
    table_stride,
    num_heads: tl.constexpr,
    kv_heads: tl.constexpr,
    dim: tl.constexpr,
    block_size: tl.constexpr,
    queries: tl.constexpr,
    tile: tl.constexpr,
):
    head = tl.program_id(0)
    kv_head = head // (num_heads // kv_heads)
    what = tiles + tl.program_id(1) * 4
    chunk = tl.load(what).to(tl.int64)
    row = tl.load(what + 1).to(tl.int64)
    num_rows = tl.minimum(tl.load(what + 2), queries)
    position = tl.load(what + 3)

    member = tl.arange(0, queries)
    column = tl.arange(0, dim)
    there = (member < num_rows)[:, None]
    asks = ((row + member[:, None]) * (num_heads + 2 * kv_heads) + head) * dim + column[None, :]
    query = tl.load(qkv + asks, there, 0.0)
    query = (query.to(tl.float32) * LOG2_E).to(query.dtype)  # exp(x) = 2^(x log2(e))
    largest = tl.full([queries], -float("inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    mixed = tl.zeros([queries, dim], tl.float32)
    context = position + num_rows
    table = tables + chunk * table_stride
    # First what all queries see, without a mask; then the tiles that the diagonal crosses.
    whole = tl.maximum(position + 1, 0) // tile * tile
    for start in range(0, whole, tile):
        entry = _entries(table, start, whole, kv_head, kv_heads, block_size, tile) * dim
        key = tl.load(keys + entry[None, :] + column[:, None])
        value = tl.load(values + entry[:, None] + column[None, :])
        scores = tl.dot(query, key, input_precision="ieee")
        new = tl.maximum(largest, tl.max(scores, 1))
        weights = tl.exp2(scores - new[:, None])
        shrink = tl.exp2(largest - new)
        total = total * shrink + tl.sum(weights, 1)
        mixed = mixed * shrink[:, None]
        mixed = tl.dot(weights.to(value.dtype), value, mixed, input_precision="ieee")
        largest = new
    for start in range(whole, context, tile):
        place = start + tl.arange(0, tile)
        inside = place < context
        entry = _entries(table, start, context, kv_head, kv_heads, block_size, tile) * dim
        key = tl.load(keys + entry[None, :] + column[:, None], inside[None, :], 0.0)
        value = tl.load(values + entry[:, None] + column[None, :], inside[:, None], 0.0)
        scores = tl.dot(query, key, input_precision="ieee")
        past = place[None, :] <= position + member[:, None]
        scores = tl.where(past & inside[None, :], scores, -float("inf"))
        new = tl.maximum(largest, tl.max(scores, 1))
        weights = tl.exp2(scores - new[:, None])
        shrink = tl.exp2(largest - new)
        total = total * shrink + tl.sum(weights, 1)
        mixed = mixed * shrink[:, None]
        mixed = tl.dot(weights.to(value.dtype), value, mixed, input_precision="ieee")
        largest = new
    target = ((row + member[:, None]) * num_heads + head) * dim + column[None, :]
    # Each row's largest score counts 1; a row that sees nothing has none.
    answer = mixed / tl.maximum(total, 1.0)[:, None]
    tl.store(out + target, answer.to(out.dtype.element_ty), there)


QUERY_TILE = 128
"""Queries that one program of prefill answers."""


def prefill_attention(
    qkv: Tensor, tables: Tensor, tiles: Tensor, cache: PagedCache, layer: int
) -> Tensor:
    """Answers to the queries of chunks whose entries are stored, [num_tokens, num_heads * dim].

    `qkv` as in `decode_attention`, `tables` [num_chunks, any]; `tiles` [num_tiles, 4] int32: chunk,
    first row in `qkv`, rows of the chunk from there on, position of the first.
    Rows of a tile at minus its rows see nothing, and 0 answers them; zeros ask for nothing.
    """
    shape = cache.shape
    heads, dim = shape.num_heads, shape.head_dim
    out = qkv.new_empty(qkv.shape[0], heads * dim)
    is_wide = dim * qkv.element_size() > 128
    _prefill[(heads, tiles.shape[0])](
        qkv,
        cache.keys[layer],
        cache.values[layer],
        tables,
        tiles,
        out,
        tables.stride(0),
        num_heads=heads,
        kv_heads=shape.num_kv_heads,
        dim=dim,
        block_size=shape.block_size,
        queries=QUERY_TILE,
        tile=128 if qkv.element_size() == 2 else 32,
        num_warps=8 if is_wide else 4,
        num_stages=2,
    )
    return out
