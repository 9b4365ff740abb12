"""First tokens by deadline (FlowPrefill, arXiv:2602.16603): a prompt that is being read gives way
to a more pressing one within a few layers, and goes on later where it stopped.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta

from reference_engine.blocks import blocks_needed
from reference_engine.policies.base import WorkerView
from reference_engine.policies.layered_prefill import left, next_layers
from reference_engine.policies.planning import (
    decode_all_that_fit,
    encode_waiting,
)
from reference_engine.policies.replicated import Replicated
from reference_engine.sequence import Phase, Sequence
from reference_engine.specs import Count
from reference_engine.step import PrefillWork, Step

Positive = Annotated[float, Meta(gt=0)]


class Deadline(Replicated, frozen=True, tag="deadline"):
    """All running answers decode; beside them the prompt is read whose first token is most
    pressing, by groups of layers with about the work of `step_tokens` tokens in all layers
    (`preempt: false`: whole prompts, so that one begun is never held up).

    deadline = arrival + SLO, of the request's `ttft_slo_s`, else of its priority, else `ttft_slo_s`
    slack = deadline - now - predicted time of what is left to read
    order `edf`: the earliest deadline first
    order `s_edf`: of those with slack >= 0 the least slack first, after them the late by deadline
    order `fcfs`: the first come first

    The prediction divides tokens by the worker's rate of prefill so far, and multiplies the result
    by `prediction_bias`, which is 1 but in experiments. Others join the most pressing one in a
    step, within `step_tokens` and while its slack stays >= 0.
    """

    order: Literal["s_edf", "edf", "fcfs"] = "s_edf"  # of prompts, see above
    preempt: bool = True  # false: a prompt that was begun is read to its end
    step_tokens: Count = 512  # of work through all layers, about, in one step
    ttft_slo_s: Positive = 1.0  # of requests that bring none, with a priority not named below
    ttft_slo_s_by_priority: dict[str, Positive] = {}  # of requests that bring none
    prediction_bias: Positive = 1.0  # factor on the predicted time of a prefill

    def plan(self, view: WorkerView) -> Step:
        decode, preempt, free_blocks = decode_all_that_fit(view)
        if preempt:
            return Step(decode=decode, preempt=preempt)
        encode = encode_waiting(view, self.step_tokens) if view.media else ()
        begun = [one for one in view.running if one.phase is Phase.PREFILLING]
        prefill = self._batch(view, begun, free_blocks)
        return Step(prefill=prefill, decode=decode, encode=encode)

    def deadline_s(self, sequence: Sequence) -> float:
        """On the loop's clock."""
        slo_s = sequence.params.ttft_slo_s
        if slo_s is None:
            slo_s = self.ttft_slo_s_by_priority.get(str(sequence.params.priority), self.ttft_slo_s)
        return sequence.arrived_s + slo_s

    def slack_s(self, sequence: Sequence, tokens: float, view: WorkerView) -> float:
        """Seconds to spare when `tokens` are still to be read before its first token."""
        rate = view.prefill_tokens_per_s
        predicted_s = self.prediction_bias * tokens / rate if rate else 0.0
        return self.deadline_s(sequence) - view.now_s - predicted_s

    def rank(self, sequence: Sequence, view: WorkerView) -> tuple[float, ...]:
        """The smallest is read first."""
        if self.order == "fcfs":
            return (sequence.id,)
        if self.order == "edf":
            return (self.deadline_s(sequence), sequence.id)
        slack_s = self.slack_s(sequence, tokens_left(sequence, view.num_layers), view)
        if slack_s >= 0:
            return (0, slack_s, sequence.id)
        return (1, self.deadline_s(sequence), sequence.id)

    def _batch(
        self, view: WorkerView, begun: list[Sequence], free_blocks: int
    ) -> tuple[PrefillWork, ...]:
        """The most pressing that can be read, and whoever can join it."""
        waiting = [one for one in view.waiting if not one.needs_encoder]
        works: list[PrefillWork] = []
        tokens = 0
        batch = len(view.running)
        is_full = False  # nobody overtakes one that waits for memory
        for sequence in sorted((*begun, *waiting), key=lambda one: self.rank(one, view)):
            start, taken = sequence.num_computed_tokens, 0
            if sequence.phase is not Phase.PREFILLING:
                if is_full:
                    continue
                hit = view.lookup(sequence)
                start = hit.num_tokens
                missing = blocks_needed(sequence.num_tokens - start, view.block_size)
                taken = missing + hit.num_idle_blocks
                if batch >= view.max_sequences or taken + batch > free_blocks:
                    is_full = True
                    continue
            length = sequence.num_tokens - start
            if works and not self._may_join(works, sequence, tokens + length, view):
                break
            works.append(PrefillWork(sequence, start, length, range(0)))
            tokens += length
            if taken:
                free_blocks -= taken
                batch += 1
            if tokens >= self.step_tokens:
                break
        return self._layers(works, tokens, view.num_layers)

    def _may_join(
        self, works: list[PrefillWork], sequence: Sequence, tokens: int, view: WorkerView
    ) -> bool:
        first = works[0].sequence
        return (
            tokens <= self.step_tokens
            and sequence.num_layers_done == first.num_layers_done
            and (self.order != "s_edf" or self.slack_s(first, tokens, view) >= 0)
        )

    def _layers(
        self, works: Iterable[PrefillWork], tokens: int, num_layers: int
    ) -> tuple[PrefillWork, ...]:
        groups = -(-tokens // self.step_tokens) if self.preempt else 1
        return tuple(
            work._replace(layers=next_layers(work.sequence.num_layers_done, groups, num_layers))
            for work in works
        )


def tokens_left(sequence: Sequence, num_layers: int) -> float:
    """Work before the first token, in tokens through all layers."""
    return left(sequence) * (1 - sequence.num_layers_done / num_layers)
