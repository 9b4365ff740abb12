"""Kernels over the rows of a matrix: norm, gating, rotation of heads and their way to pages."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from reference_engine.model.kernels.launch import OVERLAPPING
from reference_engine.model.paged_cache import PagedCache


@triton.jit
def _normalise(x, out, eps, size: tl.constexpr, padded: tl.constexpr, overlaps: tl.constexpr):
    if overlaps:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, padded)
    values = tl.load(x + row * size + columns, columns < size, 0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(values * values) / size + eps)
    tl.store(out + row * size + columns, (values * scale).to(out.dtype.element_ty), columns < size)


def normalise_rows(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) of each row of a contiguous `x` [num_rows, size]."""
    out = torch.empty_like(x)
    size = x.shape[1]
    padded = triton.next_power_of_2(size)
    _normalise[(x.shape[0],)](x, out, eps, size, padded, num_warps=8, **OVERLAPPING)
    return out


@triton.jit
def _gate(x, out, size, block: tl.constexpr, overlaps: tl.constexpr):
    if overlaps:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    inside = columns < size
    gate = tl.load(x + row * 2 * size + columns, inside, 0.0).to(tl.float32)
    up = tl.load(x + row * 2 * size + size + columns, inside, 0.0).to(tl.float32)
    gated = gate * tl.sigmoid(gate) * up
    tl.store(out + row * size + columns, gated.to(out.dtype.element_ty), inside)


def gate_rows(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of `gate_up` [num_rows, 2 * size], gate first; [num_rows, size]."""
    rows, size = gate_up.shape[0], gate_up.shape[1] // 2
    out = gate_up.new_empty(rows, size)
    _gate[(rows, triton.cdiv(size, 2048))](gate_up, out, size, 2048, num_warps=8, **OVERLAPPING)
    return out


@triton.jit
def _rotate_and_store(
    qkv,  # [num_tokens, num_heads + 2 * kv_heads, dim]; queries are rotated in place
    gains,  # [num_heads + kv_heads, dim], with has_gains
    rotary,  # [max_tokens, dim / 2, 2], float32
    positions,
    slots,
    keys,  # [num_blocks, kv_heads, block_size, dim], of one layer, as are the values
    values,
    eps,
    num_heads: tl.constexpr,
    kv_heads: tl.constexpr,
    dim: tl.constexpr,
    block_size: tl.constexpr,
    has_gains: tl.constexpr,
    rows: tl.constexpr,
    overlaps: tl.constexpr,
):
    if overlaps:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * rows + tl.arange(0, rows)
    column = tl.arange(0, dim)
    there = (head < num_heads + 2 * kv_heads)[:, None]
    is_value = (head >= num_heads + kv_heads)[:, None]
    source = qkv + (token * (num_heads + 2 * kv_heads) + head[:, None]) * dim + column[None, :]
    raw = tl.load(source, there, 0.0)
    x = raw.to(tl.float32)
    if has_gains:
        scale = tl.rsqrt(tl.sum(x * x, 1) / dim + eps)
        gain = tl.load(gains + head[:, None] * dim + column[None, :], there & ~is_value, 0.0)
        x = x * scale[:, None] * gain.to(tl.float32)
    even, odd = tl.split(tl.reshape(x, [rows, dim // 2, 2]))
    turn = tl.load(rotary + tl.load(positions + token) * dim + column)
    cosine, sine = tl.split(tl.reshape(turn, [dim // 2, 2]))
    one = even * cosine[None, :] - odd * sine[None, :]
    other = even * sine[None, :] + odd * cosine[None, :]
    turned = tl.reshape(tl.join(one, other), [rows, dim]).to(raw.dtype)
    slot = tl.load(slots + token)
    to_head = ((slot // block_size) * kv_heads * block_size + slot % block_size) * dim
    to_head = to_head + column[None, :]
    is_query = (head < num_heads)[:, None]
    kv_head = ((head - num_heads) % kv_heads)[:, None]
    tl.store(source, turned, is_query)
    target = to_head + kv_head * block_size * dim
    tl.store(keys + target, turned, ~is_query & ~is_value)
    tl.store(values + target, raw, is_value & there)


def rotate_and_store(
    qkv: Tensor,
    gains: Tensor | None,
    rotary: Tensor,
    positions: Tensor,
    slots: Tensor,
    cache: PagedCache,
    layer: int,
    eps: float,
) -> None:
    """Rotate the queries of `qkv` [num_tokens, (num_heads + 2 * kv_heads) * dim] in place, and put
    rotated keys, and values, where `slots` [num_tokens] says (block * block_size + place in it).

    `gains` [num_heads + kv_heads, dim]: of a norm of each query and key before. `rotary`
    [max_tokens, dim / 2, 2]: cosine and sine. `positions` [num_tokens].
    """
    shape = cache.shape
    heads = shape.num_heads + 2 * shape.num_kv_heads
    rows = 16
    _rotate_and_store[(qkv.shape[0], triton.cdiv(heads, rows))](
        qkv,
        qkv if gains is None else gains,
        rotary,
        positions,
        slots,
        cache.keys[layer],
        cache.values[layer],
        eps,
        num_heads=shape.num_heads,
        kv_heads=shape.num_kv_heads,
        dim=shape.head_dim,
        block_size=shape.block_size,
        has_gains=gains is not None,
        rows=rows,
        **OVERLAPPING,
    )
