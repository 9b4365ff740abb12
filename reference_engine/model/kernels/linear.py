"""Products of few rows with a large matrix, which is read once, as fast as memory gives it.

The root-mean-square norm of the rows costs nothing here: its gain is in the weights already, its
scale is one number a row, and the squares are summed as the rows pass by. So do gating (gate and up
are multiplied in one go) and the residual.
"""

from typing import Final, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from reference_engine.model.kernels.launch import OVERLAPPING

FEW_ROWS: Final = 16
MAX_ROWS: Final = 64
"""Up to `FEW_ROWS` these kernels are the faster ones, up to `MAX_ROWS` some of them. More rows are
left to cuBLAS.
"""


@triton.jit
def _multiply(
    x,  # [rows, inner]
    weight,  # [columns, inner]; with gated [2 * columns, inner], gate first
    bias,  # [columns], with has_bias
    residual,  # [rows, columns], with has_residual
    out,  # [rows, columns], or float32 [splits, rows, columns]
    num_rows,
    num_columns,
    inner,
    eps,
    normed: tl.constexpr,
    gated: tl.constexpr,
    has_bias: tl.constexpr,
    has_residual: tl.constexpr,
    splits: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    depth: tl.constexpr,
    overlaps: tl.constexpr,
):
    column = tl.program_id(0) * columns + tl.arange(0, columns)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    row_there, column_there = row < num_rows, column < num_columns
    # Clamped rather than masked: a row read twice costs nothing, a mask costs the wide loads.
    x_row = x + tl.minimum(row, num_rows - 1).to(tl.int64) * inner
    weight_row = weight + tl.minimum(column, num_columns - 1).to(tl.int64) * inner
    up_row = weight_row + num_columns.to(tl.int64) * inner
    product = tl.zeros([columns, rows], tl.float32)
    up_product = tl.zeros([columns, rows], tl.float32)
    squares = tl.zeros([rows], tl.float32)
    share = tl.cdiv(tl.cdiv(inner, depth), splits) * depth
    first = tl.program_id(2) * share
    if overlaps:
        tl.extra.cuda.gdc_wait()
    for start in range(first, tl.minimum(first + share, inner), depth):
        place = start + tl.arange(0, depth)
        inside = place < inner
        rows_in = tl.load(x_row[None, :] + place[:, None], inside[:, None], 0.0)
        weights = tl.load(weight_row[:, None] + place[None, :], inside[None, :], 0.0)
        product = tl.dot(weights, rows_in, product, input_precision="ieee")
        if gated:
            ups = tl.load(up_row[:, None] + place[None, :], inside[None, :], 0.0)
            up_product = tl.dot(ups, rows_in, up_product, input_precision="ieee")
        if normed:
            wide = rows_in.to(tl.float32)
            squares += tl.sum(wide * wide, 0)
    if overlaps:  # not before: what follows would take the room that the weights' way needs
        tl.extra.cuda.gdc_launch_dependents()
    if normed:
        scale = tl.rsqrt(squares / inner + eps)[None, :]
        product = product * scale
        up_product = up_product * scale
    if has_bias:
        product += tl.load(bias + column, column_there, 0.0).to(tl.float32)[:, None]
    if gated:
        product = product * tl.sigmoid(product) * up_product
    there = row_there[None, :] & column_there[:, None]
    place_of = row[None, :].to(tl.int64) * num_columns + column[:, None]
    if has_residual:
        product += tl.load(residual + place_of, there, 0.0).to(tl.float32)
    if splits > 1:
        place_of += tl.program_id(2).to(tl.int64) * num_rows * num_columns
    tl.store(out + place_of, product.to(out.dtype.element_ty), there)


@triton.jit
def _sum_up(
    partial, residual, out, size, splits: tl.constexpr, block: tl.constexpr, overlaps: tl.constexpr
):
    if overlaps:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < size
    total = tl.load(residual + place, inside, 0.0).to(tl.float32)
    for split in tl.static_range(splits):
        total += tl.load(partial + split * size + place, inside, 0.0)
    tl.store(out + place, total.to(out.dtype.element_ty), inside)


class Tiling(NamedTuple):
    """How a product is cut. `splits` of the inner dimension are summed up by a second kernel."""

    columns: int
    depth: int
    splits: int
    num_warps: int
    num_stages: int


def tiling_for(rows: int, columns: int, *, gated: bool, can_split: bool) -> Tiling:
    """The best, or nearly, of all sensible ones for an 8B and a 1B model on an H200, bfloat16."""
    if can_split:  # at least 128 programs, for 132 multiprocessors
        splits = min(4, triton.next_power_of_2(triton.cdiv(128 * 64, columns)))
        return Tiling(64, 128, splits, 4, 5)
    if gated:
        return Tiling(64, 128, 1, 4, 4)
    return Tiling(64, 256, 1, 4, 4) if rows <= FEW_ROWS else Tiling(128, 64, 1, 8, 4)


def _launch(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    tiling: Tiling,
    *,
    eps: float | None = None,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
) -> None:
    """`weight` [inner, columns], a transposed view of a contiguous [columns, inner]."""
    num_rows, inner = x.shape
    num_columns = weight.shape[1] // (2 if gated else 1)
    rows = max(16, triton.next_power_of_2(min(num_rows, MAX_ROWS)))
    grid = (triton.cdiv(num_columns, tiling.columns), triton.cdiv(num_rows, rows), tiling.splits)
    _multiply[grid](
        x,
        weight,
        x if bias is None else bias,
        x if residual is None else residual,
        out,
        num_rows,
        num_columns,
        inner,
        0.0 if eps is None else eps,
        normed=eps is not None,
        gated=gated,
        has_bias=bias is not None,
        has_residual=residual is not None,
        splits=tiling.splits,
        rows=rows,
        columns=tiling.columns,
        depth=tiling.depth * 2 // x.element_size(),
        num_warps=tiling.num_warps,
        num_stages=tiling.num_stages,
        **OVERLAPPING,
    )


def normed_product(
    x: Tensor,
    weight: Tensor,
    eps: float,
    *,
    bias: Tensor | None = None,
    gated: bool = False,
    out: Tensor | None = None,
    tiling: Tiling | None = None,
) -> Tensor:
    """norm(x) W (+ bias) for `x` [num_rows, inner] of few rows; with `gated` silu of the first half
    of the columns times the second. In `out`, if there is one.
    """
    columns = weight.shape[1] // (2 if gated else 1)
    if out is None:
        out = x.new_empty(x.shape[0], columns)
    if tiling is None:
        tiling = tiling_for(x.shape[0], columns, gated=gated, can_split=False)
    _launch(x, weight, out, tiling, eps=eps, bias=bias, gated=gated)
    return out


def added_product(
    residual: Tensor, x: Tensor, weight: Tensor, tiling: Tiling | None = None
) -> Tensor:
    """`residual` + x W for few rows, a new tensor."""
    rows, columns = residual.shape
    if tiling is None:
        tiling = tiling_for(rows, columns, gated=False, can_split=True)
    out = torch.empty_like(residual)
    if tiling.splits == 1:
        _launch(x, weight, out, tiling, residual=residual)
        return out
    partial = torch.empty(tiling.splits, rows, columns, dtype=torch.float32, device=x.device)
    _launch(x, weight, partial, tiling)
    block = 1024
    _sum_up[(triton.cdiv(out.numel(), block),)](
        partial, residual, out, out.numel(), splits=tiling.splits, block=block, **OVERLAPPING
    )
    return out
