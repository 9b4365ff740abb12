"""One token budget for decodes and prompt chunks (Sarathi-Serve, OSDI'24): decodes never wait for a
long prompt, which is spread over steps instead.
"""

from reference_engine.policies.base import Role, WorkerView
from reference_engine.policies.planning import (
    admit,
    decode_all_that_fit,
    encode_waiting,
    least_loaded,
    num_tokens,
    prefill_running,
)
from reference_engine.sequence import Sequence
from reference_engine.specs import Count, Spec
from reference_engine.step import Step


class ChunkedPrefill(Spec, frozen=True, tag="chunked_prefill"):
    """All running answers decode; what is left of `token_budget` goes to prompts: first to those
    begun, then to new ones in order of arrival.
    """

    token_budget: Count = 512
    replicas: Count = 1  # workers alike; a sequence goes to the one with the fewest

    def workers(self) -> tuple[Role, ...]:
        return (Role.ANY,) * self.replicas

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        return least_loaded(views, Role.ANY)

    def plan(self, view: WorkerView) -> Step:
        decode, preempt, free_blocks = decode_all_that_fit(view)
        if preempt:  # memory is short: begin nothing new, and the victims may be mid-prompt
            return Step(decode=decode, preempt=preempt)
        budget = self.token_budget - len(decode)
        prefill = prefill_running(view, budget) if len(decode) < len(view.running) else []
        if view.waiting:
            prefill += admit(view, free_blocks, budget - num_tokens(prefill))
        encode = encode_waiting(view, self.token_budget) if view.waiting else ()
        return Step(prefill=tuple(prefill), decode=decode, encode=encode)
