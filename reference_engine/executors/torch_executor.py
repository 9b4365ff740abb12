"""Runs steps on a decoder in torch, on one thread of its own, so the event loop never waits for it.

Each sequence it has seen has a seat: a slot of the KV slab, where attention reads it in place.
Blocks are copied into the cache's store as they fill, and from it when a sequence starts with a
prefix that another one computed.
"""

import asyncio
import os
from collections.abc import Sequence as Seq
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from reference_engine.executors.seats import Seats
from reference_engine.model.attention import Piece, in_rows
from reference_engine.model.cache import KvCache, KvShape
from reference_engine.model.encoder import Encoder
from reference_engine.model.sampling import Draw, likeliest, penalise, sample, uniform
from reference_engine.model.transformer import Decoder, Transformer
from reference_engine.model.weights import load
from reference_engine.model_source import ModelSource
from reference_engine.sequence import Sequence
from reference_engine.specs import Capacity, ConfigError, encoder_shape
from reference_engine.step import PrefillWork, Step, StepOutput

NUMBERS: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.float32,  # of all but the weights
}


def default_threads() -> int:
    """All cores we may use but one: the event loop and the client need theirs."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)) - 1)
    return max(1, (os.cpu_count() or 1) - 1)


def _memory_bytes() -> int:
    """What the machine has; a process that wants more is killed, not told."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class TorchExecutor:
    """One worker's model, KV and thread."""

    has_logits = True
    looks_ahead = False
    foresight = None

    def __init__(
        self,
        source: ModelSource,
        capacity: Capacity,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        threads: int | None = None,
    ) -> None:
        """Load the model. Raises ConfigError."""
        try:
            place = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch built without it, or none there
            raise ConfigError(f"device {device!r} cannot be used: {error}") from error
        if dtype == "int8" and place.type != "cpu":
            raise ConfigError(f"int8 is for CPUs; on {device!r} use bfloat16")
        try:
            self._load(source, capacity, dtype, place)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ConfigError(
                f"no memory on {device!r} for model {source.name!r} and the KV of "
                f"{capacity.max_sequences} sequences of {capacity.max_model_len} tokens: {error}"
            ) from error
        self._seats = Seats(capacity.max_sequences)
        self._encoded: dict[bytes, Tensor] = {}  # [num_tokens, hidden], by a medium's key
        self._sums: dict[Sequence, Tensor] = {}  # of states of a prompt that is half done
        self._unfinished: dict[Sequence, Tensor] = {}  # residual stream, between layer ranges
        # The number of threads belongs to the thread that sets it (OpenMP), hence in there.
        self._thread = ThreadPoolExecutor(
            1, "model", initializer=torch.set_num_threads, initargs=(threads or default_threads(),)
        )

    def _load(
        self, source: ModelSource, capacity: Capacity, number_type: str, place: torch.device
    ) -> None:
        """Weights and KV. Raises ConfigError, MemoryError, OutOfMemoryError."""
        dtype = NUMBERS[number_type]
        weights_bytes = source.shape().num_params * dtype.itemsize
        if place.type == "cpu" and weights_bytes > _memory_bytes():
            raise MemoryError(f"the weights alone take {weights_bytes / 2**30:.1f} GiB")
        shape, weights = load(source, capacity.max_model_len, dtype, place)
        self._seed = source.seed
        self._block_size = capacity.block_size
        self._slabs = Transformer(shape, weights, int8=number_type == "int8")
        self._model: Decoder = self._slabs
        sizes = KvShape(
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            num_kv_heads=shape.num_kv_heads,
            head_dim=shape.head_dim,
            num_slots=capacity.max_sequences,
            max_tokens=capacity.max_model_len,
            num_blocks=capacity.num_blocks,
            block_size=capacity.block_size,
        )
        self._cache = KvCache(sizes, dtype, place)

    async def execute(self, step: Step) -> StepOutput:
        """See `StepExecutor`. The event loop goes on meanwhile."""
        if not (step.prefill or step.decode or step.encode):
            return StepOutput({})
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run, step)

    @cached_property
    def _encoder(self) -> Encoder:
        """Made when the first medium comes: most engines never see one."""
        shape, model = self._model.shape, self._model
        return Encoder(
            encoder_shape(shape), shape.hidden_size, self._seed, model.dtype, model.device
        )

    def release(self, sequence: Sequence) -> None:
        self._seats.leave(sequence)
        self._unfinished.pop(sequence, None)
        self._sums.pop(sequence, None)

    def forget(self, key: bytes) -> None:
        self._encoded.pop(key, None)

    async def read_blocks(self, blocks: Seq[int]) -> Tensor:
        """A host copy of the KV in `blocks`, for `write_blocks` here or of a worker alike.

        Includes a last block that its sequence has filled in part. Called between steps, before
        the sequence is released: [num_blocks, 2, kv_heads * head_dim * layers * block_size].
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._read_blocks, blocks)

    async def write_blocks(self, blocks: Seq[int], content: Tensor) -> None:
        """Put `content` where a sequence that comes later with these blocks will find it.

        As after a prefix hit: its first step starts at the number of tokens that they hold.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._write_blocks, blocks, content)

    async def swap_out(self, blocks: Seq[int]) -> Tensor:
        """KV handed over goes by way of host memory too."""
        return await self.read_blocks(blocks)

    async def swap_in(self, blocks: Seq[int], content: Tensor) -> None:
        await self.write_blocks(blocks, content)

    @torch.inference_mode()
    def _read_blocks(self, blocks: Seq[int]) -> Tensor:
        wanted = set(blocks)
        for sequence, seat in self._seats.items():
            if seat.num_tokens % self._block_size:
                last = seat.num_tokens // self._block_size
                block = sequence.block_table[last]
                if block in wanted:
                    self._cache.save_blocks(seat.slot, last, [block])
        return self._cache.read_blocks(blocks)

    @torch.inference_mode()
    def _write_blocks(self, blocks: Seq[int], content: Tensor) -> None:
        self._cache.write_blocks(blocks, content)

    def read_media(self, key: bytes) -> Tensor:
        return self._encoded[key]

    async def write_media(self, key: bytes, num_tokens: int, content: Tensor) -> None:
        """[num_tokens, hidden], copied to this worker's device."""
        self._encoded[key] = content.to(self._model.device, copy=True)

    def close(self) -> None:
        self._thread.shutdown()

    @torch.inference_mode()
    def _run(self, step: Step) -> StepOutput:
        """Media first, then all works through their layers. Runs on the model's thread."""
        for one in step.encode:
            self._encoded[one.media.key] = self._encoder.encode(one.media)
        every = range(self._model.shape.num_layers)
        works = [
            PrefillWork(work.sequence, work.sequence.num_computed_tokens, 1, every)
            for work in step.decode
        ]
        return self._pass_all([*works, *step.prefill])

    def _pass_all(self, works: Seq[PrefillWork]) -> StepOutput:
        """Works that differ in their layers, in as many passes as that takes."""
        self._seat(works)
        edges = {edge for work in works for edge in (work.layers.start, work.layers.stop)}
        output = StepOutput({})
        for first, last in pairwise(sorted(edges)):
            within = [w for w in works if w.layers.start <= first and last <= w.layers.stop]
            if within:
                output = self._pass(within, range(first, last))
        return output

    def _seat(self, works: Seq[PrefillWork]) -> None:
        """Give newcomers a slot and the KV they start from."""
        newcomers = [work for work in works if work.sequence not in self._seats]
        for move in self._seats.arrange([work.sequence for work in newcomers]):
            self._cache.move(*move)
        for work in newcomers:
            num_blocks = -(-work.start // self._block_size)
            blocks = work.sequence.block_table[:num_blocks]
            self._cache.load_blocks(self._seats[work.sequence].slot, blocks)
        for work in works:
            self._seats[work.sequence].num_tokens = work.start + work.length

    def _pass(self, works: Seq[PrefillWork], layers: range) -> StepOutput:
        """One range of layers for `works`, which all need it; tokens of those that end there."""
        pieces = [Piece(self._seats[work.sequence].slot, work.start, work.length) for work in works]
        order = in_rows(pieces)
        works = [works[index] for index in order]
        pieces = [pieces[index] for index in order]
        hidden = self._enter(works, layers)
        hidden = self._slabs.layers(hidden, layers, self._slabs.plan(pieces), self._cache)
        if layers.stop == self._model.shape.num_layers:
            self._save_blocks(works, pieces)
        return self._leave(works, hidden, layers)

    def _leave(self, works: Seq[PrefillWork], hidden: Tensor, layers: range) -> StepOutput:
        """Tokens, or what the next range of layers goes on from."""
        if layers.stop == self._model.shape.num_layers:
            embeddings = self._pool(works, hidden)
            return self._sample(works, hidden)._replace(embeddings=embeddings)
        for work, rows in zip(works, torch.split(hidden, [w.length for w in works]), strict=True):
            self._unfinished[work.sequence] = rows
        return StepOutput({})

    def _enter(self, works: Seq[PrefillWork], layers: range) -> Tensor:
        """[num_tokens, hidden]: embeddings, or what the layers before left."""
        if layers.start == 0:
            ids: list[int] = []
            for work in works:
                ids += work.sequence.token_ids(work.start, work.length)
            hidden = self._model.embed(ids)
            if any(work.sequence.media for work in works):
                self._fill_in_media(hidden, works)
            return hidden
        return torch.cat([self._unfinished.pop(work.sequence) for work in works])

    def _fill_in_media(self, hidden: Tensor, works: Seq[PrefillWork]) -> None:
        """Encoder outputs in place of their tokens' embeddings."""
        row = 0
        for work in works:
            for start, media in work.sequence.media:
                first = max(start, work.start)
                last = min(start + media.num_tokens, work.start + work.length)
                if first < last:
                    rows = self._encoded[media.key][first - start : last - start]
                    hidden[row + first - work.start : row + last - work.start] = rows
            row += work.length

    def _save_blocks(self, works: Seq[PrefillWork], pieces: Seq[Piece]) -> None:
        for work, piece in zip(works, pieces, strict=True):
            first = piece.start // self._block_size
            stop = (piece.start + piece.length) // self._block_size
            if first < stop:
                blocks = work.sequence.block_table[first:stop]
                self._cache.save_blocks(piece.slot, first, blocks)

    def _pool(self, works: Seq[PrefillWork], hidden: Tensor) -> dict[int, list[float]]:
        """Means of prompts that end here, by sequence id; the sums of others are kept."""
        means: dict[int, list[float]] = {}
        row = 0
        for work in works:
            sequence = work.sequence
            if sequence.params.embed and not sequence.output_ids:
                states = self._model.states(hidden[row : row + work.length]).sum(0)
                if work.start:
                    states += self._sums.pop(sequence)
                if work.start + work.length == sequence.num_tokens:
                    means[sequence.id] = (states / sequence.num_tokens).tolist()
                else:
                    self._sums[sequence] = states
            row += work.length
        return means

    def _sample(self, works: Seq[PrefillWork], hidden: Tensor) -> StepOutput:
        """Next tokens, by sequence id, of the works that reached their sequence's end."""
        rows: list[int] = []
        sampled: list[Sequence] = []
        end = 0
        for work in works:
            end += work.length
            if work.start + work.length == work.sequence.num_tokens:
                rows.append(end - 1)
                sampled.append(work.sequence)
        if not rows:
            return StepOutput({})
        return self._choose(
            sampled, self._model.logits(hidden if len(rows) == end else hidden[rows])
        )

    def _choose(self, sampled: Seq[Sequence], logits: Tensor) -> StepOutput:
        """A token for each, from its row of `logits`, which are overwritten."""
        told = {
            row: logits[row].log_softmax(-1)
            for row, sequence in enumerate(sampled)
            if sequence.params.logprobs is not None
        }
        for row, sequence in enumerate(sampled):
            if sequence.params.has_penalties:
                penalise(logits[row], sequence)
        tokens = sample(logits, [self._draw(sequence) for sequence in sampled])
        return StepOutput(
            {sequence.id: token for sequence, token in zip(sampled, tokens, strict=True)},
            {
                sampled[row].id: likeliest(logprobs, tokens[row], sampled[row].params.logprobs or 0)
                for row, logprobs in told.items()
            },
        )

    def _draw(self, sequence: Sequence, ahead: int = 0) -> Draw:
        """For its next token, or the one `ahead` of that."""
        params = sequence.params
        if params.temperature > 0:
            seed = self._seed + sequence.id if params.seed is None else params.seed
            number = uniform(seed, sequence.num_tokens + ahead)
        else:
            number = 0.0
        must_go_on = len(sequence.output_ids) + ahead < params.min_tokens
        banned = params.stop_token_ids if must_go_on and not params.ignore_eos else ()
        allowed = None if sequence.guide is None else sequence.guide.allowed()
        top_k, min_p = params.top_k, params.min_p
        return Draw(params.temperature, params.top_p, number, banned, allowed, top_k, min_p)
