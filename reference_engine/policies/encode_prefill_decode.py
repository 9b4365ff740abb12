"""Images and sound are read by workers of their own (EPD, arXiv:2501.05460, ICML'25): the encoder's
outputs go to a prefill worker, its KV to a decode worker.
"""

from collections.abc import Iterable, Mapping

from reference_engine.media import Media
from reference_engine.policies.base import Role, WorkerView
from reference_engine.policies.disaggregated import plan_of_role
from reference_engine.policies.planning import least_loaded
from reference_engine.sequence import Sequence
from reference_engine.specs import Count, Spec
from reference_engine.step import Step

Unread = dict[bytes, int]  # of one worker, tokens by a medium's key


class EncodePrefillDecode(Spec, frozen=True, tag="encode_prefill_decode"):
    """As `disaggregated`, with `encode_workers` before it, which read at most `encode_tokens`
    tokens of images or sound in a step (a larger one goes alone). With `spread_media` those of one
    request are dealt to the workers with the least to read (the paper's intra-request parallelism).
    What some worker keeps in its encoder cache, or is to read already, goes there. Text goes to the
    prefill workers at once.
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
        return least_loaded(views, Role.DECODE if sequence.block_table else Role.PREFILL)

    def readers(self, sequence: Sequence, views: tuple[WorkerView, ...]) -> tuple[int, ...]:
        media = [one.media for one in sequence.media]
        unread = {
            index: view.unread_tokens()
            for index, view in enumerate(views)
            if view.role is Role.ENCODE
        }
        if not self.spread_media:
            return (_least_to_read(media, views, unread),) * len(media)
        readers: list[int] = []
        for one in media:
            there = {i: keys for i, keys in unread.items() if _knows(views[i], keys, one)}
            readers.append(_least_to_read([one], views, there or unread))
            if not there:
                unread[readers[-1]][one.key] = one.num_tokens
        return tuple(readers)

    def plan(self, view: WorkerView) -> Step:
        is_encoder = view.role is Role.ENCODE
        return plan_of_role(view, self.encode_tokens if is_encoder else self.prefill_tokens)


def _knows(view: WorkerView, unread: Unread, media: Media) -> bool:
    return media.key in unread or view.has_read(media.key)


def _least_to_read(
    media: Iterable[Media], views: tuple[WorkerView, ...], unread: Mapping[int, Unread]
) -> int:
    """Of the workers in `unread` the one with the fewest tokens to encode when it has read `media`,
    too; of equals the first."""

    def tokens(index: int) -> int:
        new = [one for one in media if not views[index].has_read(one.key)]
        return sum((unread[index] | {one.key: one.num_tokens for one in new}).values())

    return min(unread, key=tokens)
