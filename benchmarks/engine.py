"""Speed of the reference engine, whole, beside transformers' `generate` and the machine's bound.

    python benchmarks/engine.py [--model 15m] [--threads 1] [--batches 1,8,32] [--context 64]
    python benchmarks/engine.py --device cuda --model 8b --batches 1,8,64,256 --context 512 \
        --dtypes bfloat16 --prefill 2048,8192

Same shape and random weights, greedy, prompts of `--context` tokens. Decode: tokens per second
from the moment when every sequence has its first until all have their last. Prefill: one prompt,
until its first token. Engines take turns and the best of `--repeats` counts, since what else runs
on a machine only ever takes time away.

The bound of a step is the greater of 2 * weights * tokens / (FLOP/s) and (weights read + KV) /
(bytes/s), both rates measured at the start: a large matrix product and a large copy (bytes read and
written). Eight-bit weights count a byte each, and their arithmetic as if it were the float one.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.executors import Torch
from reference_engine.model_source import PRESETS
from reference_engine.policies import Colocated
from reference_engine.sequence import SamplingParams
from reference_engine.specs import ModelShape

WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


class Machine(NamedTuple):
    """What it was measured to reach."""

    bytes_per_s: float
    flops_per_s: float


def measure(device: str) -> Machine:
    """Best of several; float32 on a CPU, bfloat16 on a GPU."""
    is_cpu = device == "cpu"
    dtype, side = (torch.float32, 1024) if is_cpu else (torch.bfloat16, 8192)
    source = torch.ones(2**28 if is_cpu else 2**32, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def best_s(work: Callable[[], object]) -> float:
        times_s = []
        for _ in range(9):
            start_s = time.perf_counter()
            work()
            if not is_cpu:
                torch.cuda.synchronize()
            times_s.append(time.perf_counter() - start_s)
        return min(times_s)

    copy_s, product_s = best_s(lambda: target.copy_(source)), best_s(lambda: one @ other)
    return Machine(2 * source.numel() / copy_s, 2 * side**3 / product_s)


def decode_bound_s(
    machine: Machine, shape: ModelShape, dtype: str, batch: int, context: int
) -> float:
    """Seconds of a step at best; a dense model's."""
    weights = shape.num_params - (0 if shape.tie_embeddings else shape.head_params)
    kv_number_bytes = 4 if dtype == "int8" else WEIGHT_BYTES[dtype]
    kv_bytes = batch * context * shape.kv_bytes_per_token / shape.dtype_bytes * kv_number_bytes
    memory_s = (weights * WEIGHT_BYTES[dtype] + kv_bytes) / machine.bytes_per_s
    return max(memory_s, 2 * weights * batch / machine.flops_per_s)


def prefill_bound_s(machine: Machine, shape: ModelShape, tokens: int) -> float:
    """Seconds for one prompt: all layers, causal attention; the head for one token only."""
    weights = shape.num_params - (1 if shape.tie_embeddings else 2) * shape.head_params
    attention = 2 * shape.num_layers * shape.num_heads * shape.head_dim * tokens**2
    return (2 * weights * tokens + attention) / machine.flops_per_s


class Spans(NamedTuple):
    """Seconds from the last first token to the last token, and from the start to that first.

    `generate` tells only the whole: of it `decode_s` is that, until `best_of` subtracts.
    """

    decode_s: float
    prefill_s: float


Contender = Callable[[list[list[int]], int], Coroutine[Any, Any, Spans]]
"""Answers prompts with so many tokens each."""


def engine_contender(engine: Engine) -> Contender:
    """Spans of a batch of prompts through scheduler, cache and sampling."""

    async def answer(prompts: list[list[int]], tokens: int) -> Spans:
        loop = asyncio.get_running_loop()
        params = SamplingParams(max_tokens=tokens, temperature=0.0, ignore_eos=True)
        start_s = loop.time()

        async def one(prompt: list[int]) -> tuple[float, float]:
            first_s = 0.0
            async for _ in engine.tokens(engine.submit(prompt, params)):
                first_s = first_s or loop.time()
            return first_s, loop.time()

        times = await asyncio.gather(*(one(prompt) for prompt in prompts))
        first_s = max(first for first, _ in times)
        return Spans(max(end for _, end in times) - first_s, first_s - start_s)

    return answer


@asynccontextmanager
async def served(config: EngineConfig) -> AsyncIterator[Contender]:
    """The same engine behind its HTTP server, in a process of its own; a stream for each prompt."""
    shape = config.source.shape()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Path(folder) / "tokenizer.json"
        tokenizer.write_text(words_for(shape.vocab_size))
        file = Path(folder) / "engine.json"
        file.write_bytes(
            msgspec.json.encode(msgspec.structs.replace(config, tokenizer=str(tokenizer)))
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "reference_engine", "--config", str(file)),
            "--exit-with-parent",  # standard input ends with this script, however it ends
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            where = urlsplit(json.loads(await process.stdout.readline())["url"])
            yield partial(over_http, where.hostname or "", where.port or 0)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


def words_for(vocab_size: int) -> str:
    """A tokenizer.json in which every id is a word: each token gives text, and so an event."""
    vocab = {f"\u0120w{index}": index for index in range(vocab_size)}
    tokenizer = Tokenizer(BPE(vocab, []))
    tokenizer.decoder = ByteLevel()
    return tokenizer.to_str()


async def over_http(host: str, port: int, prompts: list[list[int]], tokens: int) -> Spans:
    """Spans as this client sees them; every token is asked for as an event of its own."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()

    async def one(prompt: list[int]) -> tuple[float, float]:
        asked = {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
        body = json.dumps(asked | {"ignore_eos": True, "stream": True}).encode()
        head = "POST /v1/completions HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first_s, events = 0.0, 0
        while part := await reader.read(65536):
            events += part.count(b"data: {")
            first_s = first_s or (loop.time() if events else 0.0)
        writer.close()
        assert events >= tokens, f"{events} events for {tokens} tokens"
        return first_s, loop.time()

    times = await asyncio.gather(*map(one, prompts))
    first_s = max(first for first, _ in times)
    return Spans(max(end for _, end in times) - first_s, first_s - start_s)


def transformers_contender(shape: ModelShape, device: str, dtype: str) -> Contender | None:
    """Spans of `generate` of a model of the same shape; None without transformers."""
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
    with torch.device(device):
        model: Any = LlamaForCausalLM(config).to(getattr(torch, dtype))

    def generate_s(prompts: list[list[int]], tokens: int) -> float:
        ids = torch.tensor(prompts, device=device)
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        start_s = time.perf_counter()
        model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, **settings).cpu()
        return time.perf_counter() - start_s

    async def answer(prompts: list[list[int]], tokens: int) -> Spans:
        return Spans(generate_s(prompts, tokens), generate_s(prompts, 1))

    return answer


def prompts_of(shape: ModelShape, batch: int, context: int, seed: int) -> list[list[int]]:
    """Random ids, others for every seed: no prompt finds its prefix in the cache."""
    generator = torch.Generator().manual_seed(seed)
    ids: list[list[int]] = torch.randint(
        shape.vocab_size, (batch, context), generator=generator
    ).tolist()
    return ids


async def best_of(
    contenders: dict[str, Contender],
    shape: ModelShape,
    batch: int,
    context: int,
    tokens: int,
    repeats: int,
) -> dict[str, Spans]:
    """Least time of each, taking turns."""
    best = dict.fromkeys(contenders, Spans(float("inf"), float("inf")))
    for repeat in range(repeats):
        prompts = prompts_of(shape, batch, context, 1000 * batch + repeat + context)
        for name, contender in contenders.items():
            spans = await contender(prompts, tokens)
            best[name] = Spans(*map(min, best[name], spans))
    if (whole := best.get("transformers")) is not None:
        # After taking the least of each: a slow first token must not make the rest look quick.
        best["transformers"] = Spans(whole.decode_s - whole.prefill_s, whole.prefill_s)
    return best


async def compare(options: argparse.Namespace) -> None:
    shape, device = PRESETS[options.model], options.device
    torch.set_num_threads(options.threads)
    machine = measure(device)
    batches, prefills = _numbers(options.batches), _numbers(options.prefill)
    longest = max([options.context + options.tokens, *(tokens + 1 for tokens in prefills)])
    total = max([max(batches, default=1) * (options.context + options.tokens), longest])
    print(
        f"{options.model}, {device}, {options.threads} thread(s); measured "
        f"{machine.bytes_per_s / 1e9:.1f} GB/s, {machine.flops_per_s / 1e9:.0f} GFLOP/s"
    )
    async with AsyncExitStack() as stack:
        contenders: dict[str, Contender] = {}
        for dtype in options.dtypes.split(","):
            config = EngineConfig(
                model=options.model,
                executor=Torch(device=device, dtype=dtype, threads=options.threads),
                max_model_len=longest,
                max_sequences=max(batches, default=1),
                policy=Colocated(),  # else some decode while others are prefilled: not all at once
                block_size=options.block_size,
                num_blocks=-(-total // options.block_size) + 2 * max(batches, default=1),
            )
            engine = await stack.enter_async_context(Engine.open(config))
            contenders[dtype] = engine_contender(engine)
            if options.http:
                contenders[f"{dtype} http"] = await stack.enter_async_context(served(config))
        reference_dtype = "float32" if device == "cpu" else "bfloat16"
        reference = (
            None if options.alone else transformers_contender(shape, device, reference_dtype)
        )
        if reference is not None:
            contenders["transformers"] = reference
        print(f"{'':>14} {'engine':>13} {'tok/s':>9} {'of bound':>9} {'x transformers':>15}")
        for batch in batches:
            best = await best_of(
                contenders, shape, batch, options.context, options.tokens, options.repeats
            )
            for name, spans in best.items():
                rate = batch * (options.tokens - 1) / spans.decode_s
                dtype = reference_dtype if name == "transformers" else name.split()[0]
                context = options.context + options.tokens // 2
                bound_s = decode_bound_s(machine, shape, dtype, batch, context)
                ratio = best["transformers"].decode_s / spans.decode_s if reference else 0.0
                _row(f"decode x{batch}", name, rate, rate * bound_s / batch, ratio)
        for tokens in prefills:
            best = await best_of(contenders, shape, 1, tokens, 1, options.repeats)
            for name, spans in best.items():
                bound_s = prefill_bound_s(machine, shape, tokens)
                ratio = best["transformers"].prefill_s / spans.prefill_s if reference else 0.0
                share = bound_s / spans.prefill_s
                _row(f"prefill {tokens}", name, tokens / spans.prefill_s, share, ratio)


def _row(what: str, name: str, rate: float, share: float, ratio: float) -> None:
    other = f"{ratio:15.2f}" if ratio else f"{'-':>15}"
    print(f"{what:>14} {name:>13} {rate:9.0f} {share:9.2f} {other}", flush=True)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    dense = [name for name, shape in PRESETS.items() if not shape.num_experts]  # as are the bounds
    parser.add_argument("--model", default="15m", choices=sorted(dense))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default="float32", help="of the engine, by commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", default="1,8,32", help="of decode, by commas")
    parser.add_argument("--prefill", default="", help="prompt lengths in tokens, by commas")
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--block-size", type=int, default=16, help="tokens of a KV block")
    parser.add_argument("--http", action="store_true", help="also through the HTTP server")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="leave transformers out")
    asyncio.run(compare(parser.parse_args()))


if __name__ == "__main__":
    main()
