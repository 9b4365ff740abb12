"""Whole prompts first, then decode: iteration-level batching as in Orca (OSDI'22), with the paged
memory and prefill-first order of vLLM (SOSP'23).

A step either prefills or decodes, so each long prompt stalls every running answer.
"""

from reference_engine.policies.base import Role, WorkerView
from reference_engine.policies.planning import (
    admit,
    decode_all_that_fit,
    encode_waiting,
    least_loaded,
)
from reference_engine.sequence import Sequence
from reference_engine.specs import Count, Spec
from reference_engine.step import Step


class Colocated(Spec, frozen=True, tag="colocated"):
    """Prefills whole prompts as soon as they fit, at most `prefill_tokens` in one step (a longer
    prompt goes alone), and decodes when none is left.
    """

    prefill_tokens: Count = 8192
    replicas: Count = 1  # workers alike; a sequence goes to the one with the fewest

    def workers(self) -> tuple[Role, ...]:
        return (Role.ANY,) * self.replicas

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        return least_loaded(views, Role.ANY)

    def plan(self, view: WorkerView) -> Step:
        encode = encode_waiting(view, self.prefill_tokens)
        if encode:
            return Step(encode=encode)
        prefill = admit(view, view.free_blocks, self.prefill_tokens, whole=True)
        if prefill:
            return Step(prefill=tuple(prefill))
        decode, preempt, _ = decode_all_that_fit(view)
        return Step(decode=decode, preempt=preempt)
