"""Prompts are cut by layers instead of tokens (Layered Prefill, arXiv:2510.08055): each weight, and
so each expert, is read once for a prompt of any length, and decodes still run in every step.
"""

from reference_engine.policies.base import WorkerView
from reference_engine.policies.planning import (
    admit,
    decode_all_that_fit,
    encode_waiting,
    num_tokens,
)
from reference_engine.policies.replicated import Replicated
from reference_engine.sequence import Phase, Sequence
from reference_engine.specs import Count
from reference_engine.step import PrefillWork, Step


class LayeredPrefill(Replicated, frozen=True, tag="layered_prefill"):
    """All running answers decode; beside them the prompts that are being read pass one group of
    layers. n tokens pass max(1, ceil(n / step_tokens)) groups (never more than there are layers),
    so a step has about the work of `step_tokens` tokens in all layers. Prompts are read one after
    another; short ones together, up to `step_tokens`.
    """

    step_tokens: Count = 512  # of work through all layers, about, in one step

    def plan(self, view: WorkerView) -> Step:
        decode, preempt, free_blocks = decode_all_that_fit(view)
        if preempt:  # the victims may be mid-prompt
            return Step(decode=decode, preempt=preempt)
        encode = encode_waiting(view, self.step_tokens) if view.media else ()
        prefill = [
            PrefillWork(one, one.num_computed_tokens, left(one), range(0))
            for one in (view.running if len(decode) < len(view.running) else ())
            if one.phase is Phase.PREFILLING
        ]
        if not prefill and view.waiting:
            prefill = admit(view, free_blocks, self.step_tokens, whole=True)
        groups = -(-num_tokens(prefill) // self.step_tokens)
        works = tuple(
            work._replace(
                layers=next_layers(work.sequence.num_layers_done, groups, view.num_layers)
            )
            for work in prefill
        )
        return Step(prefill=works, decode=decode, encode=encode)


def left(sequence: Sequence) -> int:
    """Known tokens that are not computed."""
    return sequence.num_tokens - sequence.num_computed_tokens


def next_layers(done: int, groups: int, num_layers: int) -> range:
    """The group that begins at layer `done`: they end at i * num_layers // groups, i = 1, 2, ..."""
    groups = min(groups, num_layers)
    ends = (index * num_layers // groups for index in range(1, groups + 1))
    return range(done, next(end for end in ends if end > done))
