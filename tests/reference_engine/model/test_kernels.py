"""Each kernel against plain torch: on a GPU if there is one, else under Triton's interpreter.

The interpreter needs Triton 3.7 or later beside numpy 2.4.
"""

import os
from collections.abc import Sequence as Seq

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")
pytest.importorskip("triton", reason="the kernels are Triton's; pip install triton")

from reference_engine.model.cache import KvShape  # noqa: E402 - after the choice of interpreter
from reference_engine.model.kernels import attention, linear, rows  # noqa: E402
from reference_engine.model.paged_cache import PagedCache  # noqa: E402

DTYPE = torch.bfloat16 if DEVICE == "cuda" else torch.float32
TOLERANCE = 2e-2 if DEVICE == "cuda" else 1e-5
HEADS, KV_HEADS, DIM, SIZE = 6, 2, 32, 16


def random(*sizes: int) -> Tensor:
    return torch.randn(*sizes, device=DEVICE).to(DTYPE)


def assert_close(found: Tensor, expected: Tensor) -> None:
    """By the norm of the difference: bfloat16's single numbers differ in their last digits."""
    expected = expected.double()
    error = (found.double() - expected).norm() / expected.norm()
    assert error < TOLERANCE, float(error)


def norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    return x.double() * (x.double().pow(2).mean(-1, keepdim=True) + eps).rsqrt()


def filled_cache(layers: int = 2, blocks: int = 60) -> PagedCache:
    shape = KvShape(layers, HEADS, KV_HEADS, DIM, 8, 256, blocks, SIZE)
    cache = PagedCache(shape, DTYPE, torch.device(DEVICE))
    cache.keys.copy_(random(*cache.keys.shape))
    cache.values.copy_(random(*cache.values.shape))
    return cache


def tables_for(contexts: Seq[int]) -> Tensor:
    """Blocks in no order, none twice."""
    width = -(-max(contexts) // SIZE)
    ids = torch.randperm(60)[: len(contexts) * width].view(len(contexts), width)
    return ids.to(DEVICE, torch.int32)


def gathered(pages: Tensor, table: Tensor, context: int) -> Tensor:
    """[context, kv_heads, dim], double, of one layer's `pages`."""
    return pages[table.long()].transpose(1, 2).flatten(0, 1)[:context].double()


def attended(query: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
    """[n, heads * dim] for `query` [n, heads, dim] at `position` and on; scores unscaled."""
    repeat = HEADS // KV_HEADS
    keys, values = keys.repeat_interleave(repeat, 1), values.repeat_interleave(repeat, 1)
    scores = torch.einsum("qhd,khd->hqk", query.double(), keys)
    places = torch.arange(keys.shape[0], device=DEVICE)
    asks = position + torch.arange(query.shape[0], device=DEVICE)
    scores = scores.masked_fill(places[None, :] > asks[:, None], -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), values).flatten(1)


@pytest.mark.parametrize("size", [64, 688])
def test_rows_are_normalised(size: int) -> None:
    x = random(5, size) * 3
    assert_close(rows.normalise_rows(x, 1e-5), norm(x))


@pytest.mark.parametrize("size", [40, 2500])
def test_rows_are_gated(size: int) -> None:
    x = random(3, 2 * size)
    gate, up = x.double().chunk(2, -1)
    assert_close(rows.gate_rows(x), torch.nn.functional.silu(gate) * up)


@pytest.mark.parametrize("has_gains", [False, True])
def test_heads_are_rotated_and_stored(has_gains: bool) -> None:
    cache = filled_cache()
    before = cache.keys.clone(), cache.values.clone()
    heads = HEADS + 2 * KV_HEADS
    qkv = random(3, heads * DIM)
    raw = qkv.clone().view(3, heads, DIM)
    gains = random(HEADS + KV_HEADS, DIM) if has_gains else None
    angles = torch.randn(50, DIM // 2, device=DEVICE)
    rotary = torch.view_as_real(torch.polar(torch.ones_like(angles), angles)).contiguous()
    positions = torch.tensor([7, 0, 49], dtype=torch.int32, device=DEVICE)
    slots = torch.tensor([3, 16 * 9 + 5, 16 * 39 + 15], device=DEVICE)
    rows.rotate_and_store(qkv, gains, rotary, positions, slots, cache, 1, 1e-5)

    expected = raw[:, : HEADS + KV_HEADS].double()
    if gains is not None:
        expected = norm(expected) * gains.double()
    pairs = torch.view_as_complex(expected.unflatten(-1, (-1, 2)).contiguous())
    turn = torch.polar(torch.ones_like(angles), angles)[positions.long()].to(pairs.dtype)
    expected = torch.view_as_real(pairs * turn[:, None]).flatten(-2)
    assert_close(qkv.view(3, heads, DIM)[:, :HEADS], expected[:, :HEADS])
    block, place = slots // SIZE, slots % SIZE
    assert_close(cache.keys[1, block, :, place], expected[:, HEADS:])
    assert torch.equal(cache.values[1, block, :, place], raw[:, HEADS + KV_HEADS :])
    for pages, old in zip((cache.keys, cache.values), before, strict=True):
        pages[1, block, :, place] = old[1, block, :, place]
        assert torch.equal(pages, old), "other entries were written to"


@pytest.mark.parametrize("contexts", [[1], [200], [1, 16, 17, 80, 65], [64] * 3])
@pytest.mark.parametrize("parts", [1, 4])
def test_decode_attention(contexts: list[int], parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "parts_for", lambda programs: parts)
    cache, tables = filled_cache(), tables_for(contexts)
    qkv = random(len(contexts), (HEADS + 2 * KV_HEADS) * DIM) * 0.3
    positions = torch.tensor(contexts, dtype=torch.int32, device=DEVICE) - 1
    found = attention.decode_attention(qkv, tables, positions, cache, 1)
    queries = qkv.view(len(contexts), -1, DIM)[:, None, :HEADS]
    expected = [
        attended(
            queries[row],
            gathered(cache.keys[1], tables[row], context),
            gathered(cache.values[1], tables[row], context),
            context - 1,
        )
        for row, context in enumerate(contexts)
    ]
    assert_close(found, torch.cat(expected))


def test_many_rows_need_no_parts() -> None:
    assert [attention.parts_for(n) for n in (1, 8, 64, 128, 512, 2048)] == [16, 16, 8, 4, 1, 1]


@pytest.mark.parametrize("chunks", [[(0, 5)], [(0, 130)], [(37, 20), (0, 64), (64, 1), (150, 33)]])
def test_prefill_attention(chunks: list[tuple[int, int]]) -> None:
    """Chunks as (start, length)."""
    cache, tables = filled_cache(), tables_for([start + length for start, length in chunks])
    qkv = random(sum(length for _, length in chunks), (HEADS + 2 * KV_HEADS) * DIM) * 0.3
    tiles, expected, row = [], [], 0
    for number, (start, length) in enumerate(chunks):
        for first in range(0, length, attention.QUERY_TILE):
            tiles.append((number, row + first, length - first, start + first))
        expected.append(
            attended(
                qkv.view(qkv.shape[0], -1, DIM)[row : row + length, :HEADS],
                gathered(cache.keys[0], tables[number], start + length),
                gathered(cache.values[0], tables[number], start + length),
                start,
            )
        )
        row += length
    plan = torch.tensor(tiles, dtype=torch.int32, device=DEVICE)
    found = attention.prefill_attention(qkv, tables, plan, cache, 0)
    assert_close(found, torch.cat(expected))


def transposed(weight: Tensor) -> Tensor:
    """The same matrix [inner, columns], with each column's numbers side by side."""
    return weight.t().contiguous().t()


TILINGS = [linear.Tiling(32, 64, splits, 4, 3) for splits in (1, 3)]


@pytest.mark.parametrize("num_rows", [1, 5, 33])
@pytest.mark.parametrize("gated", [False, True])
def test_a_product_of_normalised_rows(num_rows: int, gated: bool) -> None:
    x, weight, bias = random(num_rows, 176) * 2, transposed(random(176, 200)), random(200)
    expected = norm(x) @ weight.double()
    if gated:
        gate, up = expected.chunk(2, -1)
        expected = torch.nn.functional.silu(gate) * up
        found = linear.normed_product(x, weight, 1e-5, gated=True, tiling=TILINGS[0])
    else:
        expected += bias.double()
        found = linear.normed_product(x, weight, 1e-5, bias=bias, tiling=TILINGS[0])
    assert_close(found, expected)


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("num_rows", [1, 20])
def test_a_product_is_added(num_rows: int, tiling: linear.Tiling) -> None:
    residual, x = random(num_rows, 72), random(num_rows, 304)
    weight = transposed(random(304, 72))
    found = linear.added_product(residual, x, weight, tiling)
    assert_close(found, residual.double() + x.double() @ weight.double())
