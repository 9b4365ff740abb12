"""Runs steps on a GPU: KV in the block pool's pages, CUDA graphs, one decode ahead.

Prefills and decodes of a step are two passes: a decode reads every weight once and no more, whoever
is prefilled beside it. While the host takes in the tokens of a decode, the next one of the same
sequences is computed already, from token ids that never left the device. If the next step turns out
otherwise it is used as far as it goes, or dropped: it has only written entries of tokens that are
next in any case, or that nobody asks for any more.
"""

from collections.abc import Sequence as Seq
from typing import NamedTuple

import torch
from torch import Tensor

from reference_engine.executors.decode_graphs import DecodeGraphs
from reference_engine.executors.prefill_graphs import PrefillGraphs
from reference_engine.executors.torch_executor import NUMBERS, TorchExecutor
from reference_engine.model.cache import KvShape
from reference_engine.model.paged_cache import PagedCache
from reference_engine.model.paged_transformer import Chunk, PagedTransformer, plan_chunks
from reference_engine.model.sampling import choose, on_device
from reference_engine.model.weights import load
from reference_engine.model_source import ModelSource
from reference_engine.sequence import Sequence
from reference_engine.specs import Capacity, ConfigError, ModelShape
from reference_engine.step import PrefillWork, Step, StepOutput


class _Flight(NamedTuple):
    """A decode that the GPU was given: whose, from which length on, and where the tokens arrive."""

    rows: dict[Sequence, int]
    num_tokens: dict[Sequence, int]  # known when it was launched, or at its predecessor's end
    ids: Tensor  # int64 [num_sequences], on the device
    arriving: Tensor  # the same in host memory, once `arrived`
    arrived: torch.cuda.Event | None

    def covers(self, sequences: Seq[Sequence]) -> bool:
        return all(self.num_tokens.get(one) == one.num_tokens for one in sequences)

    def tokens(self) -> list[int]:
        """By row; waits for them."""
        if self.arrived is not None:
            self.arrived.synchronize()
        tokens: list[int] = self.arriving.tolist()
        return tokens


def _is_plain(sequence: Sequence) -> bool:
    """Whether its next token can be drawn without knowing, on the host, those before."""
    params = sequence.params
    return sequence.guide is None and params.logprobs is None and not params.has_penalties


class PagedExecutor(TorchExecutor):
    """One worker's model, pages and thread, on a GPU; for tests also under Triton's interpreter."""

    looks_ahead = True
    foresight = None

    def _load(
        self, source: ModelSource, capacity: Capacity, number_type: str, place: torch.device
    ) -> None:
        dtype = NUMBERS[number_type]
        _refuse_slabs_only(source.shape(), capacity.max_model_len)
        shape, weights = load(source, capacity.max_model_len, dtype, place)
        if any(layer.output_bias is not None for layer in weights.layers):
            raise ConfigError("on a GPU a bias of attention's output is not added: use device cpu")
        self._seed = source.seed
        self._block_size = capacity.block_size
        self._paged = PagedTransformer(shape, weights)
        self._model = self._paged
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
        self._pages = PagedCache(sizes, dtype, place)
        self._graphs = DecodeGraphs(
            self._paged, self._pages, capacity.max_sequences, capacity.max_model_len
        )
        self._prefill_graphs = PrefillGraphs(self._paged, self._pages, capacity.max_model_len)
        self._ahead: _Flight | None = None

    def release(self, sequence: Sequence) -> None:
        super().release(sequence)
        self._graphs.forget(sequence)
        if self._ahead is not None:
            self._ahead.num_tokens.pop(sequence, None)

    def close(self) -> None:
        super().close()
        self._ahead = None
        del self._graphs, self._prefill_graphs, self._pages, self._paged, self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _run(self, step: Step) -> StepOutput:
        for one in step.encode:
            self._encoded[one.media.key] = self._encoder.encode(one.media)
        decode = [work.sequence for work in step.decode]
        if not decode:
            return self._pass_all(step.prefill)
        ahead, self._ahead = self._ahead, None
        if not all(map(_is_plain, decode)):
            output = self._pass_all(step.prefill)
            return _together(output, self._choose(decode, self._logits(decode)))
        flight = ahead if ahead is not None and ahead.covers(decode) else self._launch(decode)
        output = self._pass_all(step.prefill)
        if not step.prefill:
            self._ahead = self._launch_ahead(decode, flight)
        tokens = flight.tokens()
        return output._replace(
            tokens=output.tokens | {one.id: tokens[flight.rows[one]] for one in decode}
        )

    def _logits(self, sequences: Seq[Sequence]) -> Tensor:
        positions = [one.num_computed_tokens for one in sequences]
        return self._graphs.run(sequences, positions, [_newest(one) for one in sequences])

    def _launch(self, sequences: Seq[Sequence]) -> _Flight:
        return self._fly(sequences, self._logits(sequences), 0)

    def _launch_ahead(self, decode: Seq[Sequence], flight: _Flight) -> _Flight | None:
        """The decode after `flight`, for those that it does not end and whose blocks have room."""
        going_on = [
            one
            for one in decode
            if len(one.output_ids) + 1 < one.token_limit
            and one.num_tokens < len(one.block_table) * self._block_size
        ]
        if not going_on:
            return None
        rows = [flight.rows[one] for one in going_on]
        ids = flight.ids
        if rows != list(range(len(ids))):
            ids = ids[on_device(rows, torch.long, ids.device)]
        positions = [one.num_tokens for one in going_on]
        return self._fly(going_on, self._graphs.run(going_on, positions, ids), 1)

    def _fly(self, sequences: Seq[Sequence], logits: Tensor, ahead: int) -> _Flight:
        """Draw, and send the tokens home, without waiting."""
        ids = choose(logits, [self._draw(one, ahead) for one in sequences])
        rows = {one: row for row, one in enumerate(sequences)}
        num_tokens = {one: one.num_tokens + ahead for one in sequences}
        if not ids.is_cuda:
            return _Flight(rows, num_tokens, ids, ids, None)
        arriving = torch.empty(len(ids), dtype=torch.long, pin_memory=True)
        arriving.copy_(ids, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        arrived.record()
        return _Flight(rows, num_tokens, ids, arriving, arrived)

    def _seat(self, works: Seq[PrefillWork]) -> None:
        """Nobody needs a seat: every block is read where it is."""

    def _pass(self, works: Seq[PrefillWork], layers: range) -> StepOutput:
        chunks = [Chunk(work.sequence.block_table, work.start, work.length) for work in works]
        hidden = self._enter(works, layers)
        if layers == range(self._paged.shape.num_layers) and self._prefill_graphs.holds(chunks):
            hidden = self._prefill_graphs.run(chunks, hidden)
        else:
            batch = plan_chunks(chunks, self._block_size, self._paged.device)
            hidden = self._paged.layers(hidden, layers, batch, self._pages)
        return self._leave(works, hidden, layers)

    @torch.inference_mode()
    def _read_blocks(self, blocks: Seq[int]) -> Tensor:
        return self._pages.read_blocks(blocks)

    @torch.inference_mode()
    def _write_blocks(self, blocks: Seq[int], content: Tensor) -> None:
        self._pages.write_blocks(blocks, content)


def _refuse_slabs_only(shape: ModelShape, max_tokens: int) -> None:
    """Raises ConfigError of what only the decoder over slabs computes."""
    window = min((window for window in shape.windows if window), default=max_tokens)
    if shape.architecture == "gpt_oss":
        raise ConfigError("on a GPU gpt-oss is not computed yet: use device cpu")
    if window < max_tokens:
        raise ConfigError(
            f"on a GPU a window of {window} tokens is right only up to that length: use device "
            f"cpu, or set max_model_len to {window} or less (it is {max_tokens})"
        )


def _newest(sequence: Sequence) -> int:
    return (sequence.output_ids or sequence.prompt_ids)[-1]


def _together(one: StepOutput, other: StepOutput) -> StepOutput:
    return StepOutput(
        one.tokens | other.tokens,
        {**one.logprobs, **other.logprobs},
        {**one.embeddings, **other.embeddings},
    )
