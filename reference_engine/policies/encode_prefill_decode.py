"""Images and sound are read by workers of their own (EPD, arXiv:2501.05460, ICML'25): the encoder's
outputs go to a prefill worker, its KV to a decode worker.
"""

from reference_engine.policies.base import Role, WorkerView
from reference_engine.policies.disaggregated import plan_of_role
from reference_engine.policies.planning import least_loaded
from reference_engine.sequence import Sequence
from reference_engine.specs import Count, Spec
from reference_engine.step import Step


class EncodePrefillDecode(Spec, frozen=True, tag="encode_prefill_decode"):
    """As `disaggregated`, with `encode_workers` before it, which read at most `encode_tokens`
    tokens of images or sound in a step (a larger one goes alone). Text goes to the prefill workers
    at once.
    """

    encode_workers: Count = 1  # read images and sound
    prefill_workers: Count = 1  # read prompts, and sample first tokens
    decode_workers: Count = 1  # sample all others
    encode_tokens: Count = 2048  # of images and sound read in one step
    prefill_tokens: Count = 8192  # of prompts read in one step

    def workers(self) -> tuple[Role, ...]:
        roles = (Role.ENCODE,) * self.encode_workers + (Role.PREFILL,) * self.prefill_workers
        return roles + (Role.DECODE,) * self.decode_workers

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        if sequence.block_table:
            return least_loaded(views, Role.DECODE)
        return least_loaded(views, Role.ENCODE if sequence.needs_encoder else Role.PREFILL)

    def plan(self, view: WorkerView) -> Step:
        is_encoder = view.role is Role.ENCODE
        return plan_of_role(view, self.encode_tokens if is_encoder else self.prefill_tokens)
