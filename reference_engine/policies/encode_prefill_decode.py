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
    tokens of images or sound in a step (a larger one goes alone). With `spread_media` those of one
    request are dealt to the workers with the least to read (the paper's intra-request parallelism);
    equal ones go together. Text goes to the prefill workers at once.
    """

    encode_workers: Count = 1  # read images and sound
    prefill_workers: Count = 1  # read prompts, and sample first tokens
    decode_workers: Count = 1  # sample all others
    encode_tokens: Count = 2048  # of images and sound read in one step
    spread_media: bool = True  # those of one request over several encode workers
    prefill_tokens: Count = 8192  # of prompts read in one step

    def workers(self) -> tuple[Role, ...]:
        roles = (Role.ENCODE,) * self.encode_workers + (Role.PREFILL,) * self.prefill_workers
        return roles + (Role.DECODE,) * self.decode_workers

    def route(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> int:
        if sequence.block_table:
            return least_loaded(views, Role.DECODE)
        return least_loaded(views, Role.ENCODE if sequence.needs_encoder else Role.PREFILL)

    def readers(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> tuple[int, ...]:
        if not self.spread_media:
            return ()
        tokens = {
            index: sum(work.media.num_tokens for work in view.media)
            for index, view in enumerate(views)
            if view.role is Role.ENCODE
        }
        reader: dict[bytes, int] = {}
        for _, media in sequence.media:
            if media.key not in reader:
                reader[media.key] = min(tokens, key=tokens.__getitem__)
                tokens[reader[media.key]] += media.num_tokens
        return tuple(reader[media.key] for _, media in sequence.media)

    def plan(self, view: WorkerView) -> Step:
        is_encoder = view.role is Role.ENCODE
        return plan_of_role(view, self.encode_tokens if is_encoder else self.prefill_tokens)
