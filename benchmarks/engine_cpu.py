"""Decode speed of the reference engine on a CPU, whole engine, beside transformers' `generate`.

    python benchmarks/engine_cpu.py [--model 15m] [--threads 1] [--batches 1,8,32] [--context 64]

Both decode the same shape with random weights in float32, greedily, from prompts of `--context`
tokens; prefill is not counted. Each row is the best of `--repeats` alternating runs. A step's bound
is the greater of 2 * weights * batch / (81 GFLOP/s per thread) and (weights + KV) / (25 GB/s), what
two Zen 3 cores were measured to reach; on other machines read the ratio only.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import torch

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.executors import Torch
from reference_engine.sequence import SamplingParams
from reference_engine.specs import PRESETS, ModelShape

FLOPS_PER_S = 81e9
BYTES_PER_S = 25e9


def roofline_tokens_per_s(shape: ModelShape, batch: int, context: int, threads: int) -> float:
    """Tokens per second at which arithmetic or memory is exhausted."""
    weights = shape.num_params - (0 if shape.tie_embeddings else shape.head_params)
    compute_s = 2 * weights * batch / (FLOPS_PER_S * threads)
    memory_s = (4 * weights + batch * context * shape.kv_bytes_per_token) / BYTES_PER_S
    return batch / max(compute_s, memory_s)


async def engine_seconds(engine: Engine, prompts: list[list[int]], tokens: int) -> float:
    """From the moment when every sequence has its first token until all have `tokens` of them."""
    loop = asyncio.get_running_loop()
    params = SamplingParams(max_tokens=tokens, temperature=0.0, ignore_eos=True)

    async def answer(prompt: list[int]) -> tuple[float, float]:
        first_s = 0.0
        async for _ in engine.tokens(engine.submit(prompt, params)):
            first_s = first_s or loop.time()
        return first_s, loop.time()

    times = await asyncio.gather(*(answer(prompt) for prompt in prompts))
    return max(end for _, end in times) - max(first for first, _ in times)


def transformers_decoder(shape: ModelShape) -> Callable[[list[list[int]], int], float] | None:
    """Times `generate` of a model of the same shape; None if transformers is not installed."""
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        return None
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_position,
        tie_word_embeddings=shape.tie_embeddings,
    )
    model: Any = LlamaForCausalLM(config)

    def generate_s(prompts: list[list[int]], tokens: int) -> float:
        ids = torch.tensor(prompts)
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        start = time.perf_counter()
        model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, **settings)
        return time.perf_counter() - start

    return lambda prompts, tokens: generate_s(prompts, tokens) - generate_s(prompts, 1)


def prompts_of(shape: ModelShape, batch: int, context: int, seed: int) -> list[list[int]]:
    """Random ids, others for every seed: no prompt finds its prefix in the cache."""
    generator = torch.Generator().manual_seed(seed)
    ids: list[list[int]] = torch.randint(
        shape.vocab_size, (batch, context), generator=generator
    ).tolist()
    return ids


async def compare(options: argparse.Namespace) -> None:
    shape = PRESETS[options.model]
    torch.set_num_threads(options.threads)
    reference = None if options.alone else transformers_decoder(shape)
    config = EngineConfig(
        model=options.model,
        executor=Torch(threads=options.threads),
        max_model_len=options.context + options.tokens,
        num_blocks=-(-(options.context + options.tokens) // 16) * 64,
    )
    print(f"{options.model}, {options.threads} thread(s), context {options.context}: decode tok/s")
    print(f"{'batch':>5} {'engine':>9} {'transformers':>13} {'ratio':>6} {'of roofline':>12}")
    async with Engine.open(config) as engine:
        for batch in map(int, options.batches.split(",")):
            await compare_batch(engine, reference, shape, batch, options)


async def compare_batch(
    engine: Engine,
    reference: Callable[[list[list[int]], int], float] | None,
    shape: ModelShape,
    batch: int,
    options: argparse.Namespace,
) -> None:
    tokens, ours, theirs = options.tokens, float("inf"), float("inf")
    for repeat in range(options.repeats):
        prompts = prompts_of(shape, batch, options.context, 1000 * batch + repeat)
        ours = min(ours, await engine_seconds(engine, prompts, tokens))
        if reference is not None:
            theirs = min(theirs, reference(prompts, tokens))
    rate = batch * (tokens - 1)
    context = options.context + tokens // 2
    bound = roofline_tokens_per_s(shape, batch, context, options.threads)
    other = f"{rate / theirs:13.0f} {theirs / ours:6.2f}" if reference else f"{'-':>13} {'-':>6}"
    print(f"{batch:5d} {rate / ours:9.0f} {other} {rate / ours / bound:12.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="15m", choices=sorted(PRESETS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="leave transformers out")
    run: Coroutine[Any, Any, None] = compare(parser.parse_args())
    asyncio.run(run)


if __name__ == "__main__":
    main()
