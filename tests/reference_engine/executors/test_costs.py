"""FLOPs and bytes of a step, by hand and by rule."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_engine.executors.costs import (
    LayerLoad,
    context_pairs,
    distinct_experts,
    layer_loads,
    step_cost,
)
from reference_engine.model_source import PRESETS
from reference_engine.sequence import SamplingParams, Sequence
from reference_engine.specs import DEVICES, ModelShape
from reference_engine.step import DecodeWork, PrefillWork, Step

LLAMA = PRESETS["llama-3-8b"]
QWEN = PRESETS["qwen3-30b-a3b"]
SMALL = ModelShape(
    num_layers=2,
    hidden_size=8,
    num_heads=4,
    num_kv_heads=2,
    head_dim=2,
    intermediate_size=16,
    vocab_size=32,
    max_position=100,
)


def decode(computed: int) -> DecodeWork:
    one = Sequence(0, [0] * computed, SamplingParams(max_tokens=10))
    one.output_ids = [0]
    one.num_computed_tokens = computed
    return DecodeWork(one)


def prefill(
    start: int, length: int, prompt: int | None = None, layers: range | None = None
) -> PrefillWork:
    """`prompt` defaults to start + length: the last chunk, which samples."""
    one = Sequence(0, [0] * (prompt or start + length), SamplingParams(max_tokens=10))
    return PrefillWork(one, start, length, layers or range(2))


def test_one_decode_by_hand() -> None:
    """SMALL at context 10: A = 8*2*(8+4) = 192, F = 3*8*16 = 384, head = 256 weights, b = 2."""
    cost = step_cost(Step(decode=(decode(10),)), SMALL)
    assert cost.flops == 2 * (2 * (192 + 384) + 4 * 4 * 2 * 11) + 2 * 256
    assert cost.bytes == 2 * 2 * (192 + 384 + 2 * 2 * 2 * (10 + 1)) + 2 * 256


def test_one_prefill_by_hand() -> None:
    """Tokens [3, 8): each attends to itself and all before it, 4 + 5 + 6 + 7 + 8 = 30 pairs."""
    assert layer_loads(Step(prefill=(prefill(3, 5),)), SMALL) == [LayerLoad(2, 5, 30, 3)]
    cost = step_cost(Step(prefill=(prefill(3, 5),)), SMALL)
    assert cost.flops == 2 * (2 * 5 * 576 + 4 * 4 * 2 * 30) + 2 * 256


def test_a_chunk_that_is_not_the_last_needs_no_logits() -> None:
    """The head's matrix is left alone until a token is sampled."""
    whole = step_cost(Step(prefill=(prefill(0, 5),)), SMALL)
    chunk = step_cost(Step(prefill=(prefill(0, 5, prompt=6),)), SMALL)
    assert whole.flops - chunk.flops == whole.bytes - chunk.bytes == 2 * 256


def test_chunks_do_the_same_attention_as_the_whole() -> None:
    """Cutting a prompt changes no query-context pair; only weights and context are read again."""
    whole = step_cost(Step(prefill=(prefill(0, 10),)), SMALL)
    parts = [
        step_cost(Step(prefill=(part,)), SMALL) for part in (prefill(0, 4, 10), prefill(4, 6, 10))
    ]
    assert sum(part.flops for part in parts) == whole.flops
    assert sum(part.bytes for part in parts) > whole.bytes


def test_layer_ranges_add_up() -> None:
    """A prompt that passes the layers in two groups costs what it costs at once; decodes beside it
    pass all layers both times.
    """
    groups = [prefill(0, 6, layers=range(1)), prefill(0, 6, layers=range(1, 2))]
    whole = step_cost(Step(prefill=(prefill(0, 6),)), SMALL)
    assert sum(step_cost(Step(prefill=(g,)), SMALL).flops for g in groups) == whole.flops
    loads = layer_loads(Step(prefill=(groups[0],), decode=(decode(9),)), SMALL)
    assert [(load.num_layers, load.tokens) for load in loads] == [(1, 7), (1, 1)]


def test_windows_by_hand() -> None:
    """The first layer looks back 4 tokens. Of decodes at 10 and 2 it reads 3 and 2 entries; tokens
    [3, 8) attend to 4 each, their own and 3 that are read for the first of them.
    """
    shape = msgspec.structs.replace(SMALL, windows=(4, 0))
    step = Step(prefill=(prefill(3, 5),), decode=(decode(10), decode(2)))
    assert layer_loads(step, shape) == [
        LayerLoad(1, 7, 4 + 3 + 20, 3 + 2 + 3),
        LayerLoad(1, 7, 11 + 3 + 30, 10 + 2 + 3),
    ]


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 20))
def test_context_pairs_are_what_each_token_attends_to(start: int, length: int, window: int) -> None:
    """One by one: all before it and itself, at most the window."""
    seen = [position + 1 for position in range(start, start + length)]
    expected = sum(min(count, window) for count in seen) if window else sum(seen)
    assert context_pairs(start, length, window) == expected


def test_gpt_oss_reads_mxfp4_and_short_windows() -> None:
    """A token at context 100,000: 4 of 32 experts a layer at 17/32 bytes a weight, attention,
    router and head at 2, and the KV of half the layers, of the others 128 tokens.
    """
    shape = PRESETS["gpt-oss-20b"]
    others = 24 * (shape.attention_params + shape.router_params) + shape.head_params
    experts = 24 * 4 * shape.expert_params * 17 / 32
    kv = 2 * 2 * 8 * 64 * 12 * (100_001 + 128)
    cost = step_cost(Step(decode=(decode(100_000),)), shape)
    assert cost.bytes == pytest.approx(2 * others + experts + kv, rel=1e-9)


def test_llama_3_8b_decode_on_h100() -> None:
    """Batch 1 at context 512 is bound by memory: (7.505e9 weights x 2 B + KV) / 3.35 TB/s."""
    cost = step_cost(Step(decode=(decode(512),)), LLAMA)
    assert cost.bytes == pytest.approx(2 * 7.505e9 + 513 * 131072, rel=1e-3)
    assert cost.time_s(DEVICES["h100"]) == pytest.approx(4.50e-3, rel=0.01)


def test_llama_3_8b_prefill_on_h100() -> None:
    """2,048 tokens are bound by arithmetic: 2 x 6.98e9 x 2048 + attention 1.1e12 FLOP."""
    cost = step_cost(Step(prefill=(prefill(0, 2048, layers=range(32)),)), LLAMA)
    assert cost.flops == pytest.approx(2 * 6.98e9 * 2048 + 1.1e12, rel=1e-2)
    assert cost.time_s(DEVICES["h100"]) == pytest.approx(cost.flops / 989.5e12)


def test_distinct_experts_under_uniform_routing() -> None:
    """E (1 - (1 - k/E)^T): of 128 experts with 8 per token, 16 tokens touch 82 and 32 touch 112."""
    assert distinct_experts(1, QWEN) == pytest.approx(8)
    assert distinct_experts(16, QWEN) == pytest.approx(82, abs=0.5)
    assert distinct_experts(32, QWEN) == pytest.approx(112, abs=0.5)
    assert distinct_experts(5, LLAMA) == 1


def test_a_mixture_reads_few_experts_for_one_token_and_all_for_many() -> None:
    """Weights read: about the active 3.3 B alone, nearly all 30 B in a large batch."""
    one = step_cost(Step(decode=(decode(1),)), QWEN).bytes / 2
    many = step_cost(Step(decode=(decode(1),) * 512), QWEN).bytes / 2
    embedding = QWEN.head_params
    assert one == pytest.approx(3.34e9 - embedding, rel=0.03)
    assert many == pytest.approx(QWEN.num_params - embedding, rel=0.01)


SHAPES = st.sampled_from([SMALL, PRESETS["tiny"], LLAMA, QWEN, PRESETS["gpt-oss-20b"]])
CHUNKS = st.tuples(st.integers(0, 500), st.integers(1, 500))


@given(
    shape=SHAPES,
    device=st.sampled_from(sorted(DEVICES)),
    contexts=st.lists(st.integers(1, 4000), max_size=20),
    chunks=st.lists(CHUNKS, max_size=4),
    more_context=st.integers(1, 4000),
    more_chunk=CHUNKS,
    first=st.integers(0, 1),
)
def test_time_never_falls_when_work_is_added(
    shape: ModelShape,
    device: str,
    contexts: list[int],
    chunks: list[tuple[int, int]],
    more_context: int,
    more_chunk: tuple[int, int],
    first: int,
) -> None:
    """Another decode, another prefill, or a longer context: never faster."""
    every = range(shape.num_layers)
    step = Step(
        prefill=tuple(prefill(start, length, layers=every) for start, length in chunks),
        decode=tuple(map(decode, contexts)),
    )
    part = range(first * shape.num_layers // 2, shape.num_layers)
    larger = [
        step._replace(decode=(*step.decode, decode(more_context))),
        step._replace(prefill=(*step.prefill, prefill(*more_chunk, layers=part))),
        step._replace(decode=tuple(decode(context + 1) for context in contexts)),
    ]
    time_s = step_cost(step, shape).time_s(DEVICES[device])
    for other in larger:
        assert step_cost(other, shape).time_s(DEVICES[device]) >= time_s
