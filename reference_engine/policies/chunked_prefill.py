"""One token budget for decodes and prompt chunks (Sarathi-Serve, OSDI'24): decodes never wait for a
long prompt, which is spread over steps instead.
"""

from reference_engine.policies.base import WorkerView
from reference_engine.policies.planning import (
    admit,
    decode_all_that_fit,
    encode_waiting,
    num_tokens,
    prefill_running,
)
from reference_engine.policies.replicated import Replicated
from reference_engine.specs import Count
from reference_engine.step import Step


class ChunkedPrefill(Replicated, frozen=True, tag="chunked_prefill"):
    """All running answers decode; what is left of `token_budget` goes to prompts: first to those
    begun, then to new ones in order of arrival.
    """

    token_budget: Count = 512

    def plan(self, view: WorkerView) -> Step:
        decode, preempt, free_blocks = decode_all_that_fit(view)
        if preempt:  # memory is short: begin nothing new, and the victims may be mid-prompt
            return Step(decode=decode, preempt=preempt)
        budget = self.token_budget - len(decode)
        prefill = prefill_running(view, budget) if len(decode) < len(view.running) else []
        if view.waiting:
            prefill += admit(view, free_blocks, budget - num_tokens(prefill))
        encode = encode_waiting(view, self.token_budget) if view.media else ()
        return Step(prefill=tuple(prefill), decode=decode, encode=encode)
