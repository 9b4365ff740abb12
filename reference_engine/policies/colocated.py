"""Whole prompts first, then decode: iteration-level batching as in Orca (OSDI'22), with the paged
memory and prefill-first order of vLLM (SOSP'23).

A step either prefills or decodes, so each long prompt stalls every running answer.
"""

from reference_engine.policies.base import WorkerView
from reference_engine.policies.planning import (
    admit,
    decode_all_that_fit,
    encode_waiting,
)
from reference_engine.policies.replicated import Replicated
from reference_engine.specs import Count
from reference_engine.step import Step


class Colocated(Replicated, frozen=True, tag="colocated"):
    """Prefills whole prompts as soon as they fit, at most `prefill_tokens` in one step (a longer
    prompt goes alone), and decodes when none is left.
    """

    prefill_tokens: Count = 8192

    def plan(self, view: WorkerView) -> Step:
        encode = encode_waiting(view, self.prefill_tokens)
        if encode:
            return Step(encode=encode)
        prefill = admit(view, view.free_blocks, self.prefill_tokens, whole=True)
        if prefill:
            return Step(prefill=tuple(prefill))
        decode, preempt, _ = decode_all_that_fit(view)
        return Step(decode=decode, preempt=preempt)
