"""Prompts are read by some workers and answered by others (DistServe, OSDI'24; P/D-Serve,
arXiv:2408.08147), so that neither phase delays the other; the KV goes over a link between them.
"""

from reference_engine.policies.base import Role, WorkerView
from reference_engine.policies.planning import (
    admit,
    decode_all_that_fit,
    encode_waiting,
    least_loaded,
    receive,
)
from reference_engine.sequence import Sequence
from reference_engine.specs import Count, Spec
from reference_engine.step import Step


class Disaggregated(Spec, frozen=True, tag="disaggregated"):
    """`prefill_workers` read whole prompts, at most `prefill_tokens` in a step (a longer prompt
    goes alone), and sample the first token; `decode_workers` give all others. KV waits where it was
    made until a decode worker has room, so a lack of decoding holds up prefills. A victim of
    lacking memory is read again by a prefill worker.
    """

    prefill_workers: Count = 1  # read prompts, and sample first tokens
    decode_workers: Count = 1  # sample all others
    prefill_tokens: Count = 8192  # of prompts read in one step

    def workers(self) -> tuple[Role, ...]:
        return (Role.PREFILL,) * self.prefill_workers + (Role.DECODE,) * self.decode_workers

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        return least_loaded(views, Role.DECODE if sequence.block_table else Role.PREFILL)

    def readers(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> tuple[int, ...]:
        return ()

    def plan(self, view: WorkerView) -> Step:
        return plan_of_role(view, self.prefill_tokens)


def plan_of_role(view: WorkerView, prefill_tokens: int) -> Step:
    """What a worker does that does one thing only."""
    if view.role is Role.DECODE:
        decode, preempt, free_blocks = decode_all_that_fit(view)
        if preempt:  # memory is short: take nobody in
            return Step(decode=decode, preempt=preempt)
        return Step(decode=decode, receive=receive(view, free_blocks, view.arriving))
    encode = encode_waiting(view, prefill_tokens)
    if encode or view.role is Role.ENCODE:
        return Step(encode=encode)
    return Step(prefill=tuple(admit(view, view.free_blocks, prefill_tokens, whole=True)))
