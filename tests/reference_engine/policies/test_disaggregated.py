"""Disaggregation: who does what, and where one goes next."""

import numpy as np

from reference_engine.media import MERGED, Media, Placed
from reference_engine.policies import Disaggregated, EncodePrefillDecode
from reference_engine.policies.base import Role
from reference_engine.sequence import Phase, SamplingParams, Sequence
from reference_engine.step import EncodeWork
from tests.reference_engine.policies.views import decoding, ids, view, waiting


def transferring(id: int, computed: int) -> Sequence:
    one = decoding(id, computed)
    one.phase = Phase.TRANSFERRING
    return one


def with_images(id: int, *tokens: int) -> Sequence:
    """Of as many images; those of the same size are equal."""
    images = [
        Media("image", str(size).encode(), np.zeros((size * MERGED, 588), np.float32))
        for size in tokens
    ]
    placed = tuple(Placed(0, image) for image in images)
    return Sequence(id, [1] * sum(tokens), SamplingParams(max_tokens=9), media=placed)


def with_image(id: int) -> Sequence:
    return with_images(id, 2)


def test_prompts_go_to_the_emptiest_prefill_worker_and_answers_to_a_decode_worker() -> None:
    """Of equals the first."""
    policy = Disaggregated(prefill_workers=2, decode_workers=2)
    views = tuple(
        view(role=role, waiting=[waiting(9, 1)] * load)
        for role, load in zip(policy.workers(), (2, 1, 3, 3), strict=True)
    )
    assert policy.route(waiting(0, 5), views) == 1
    assert policy.route(transferring(0, 5), views) == 2


def test_media_go_to_an_encode_worker_first() -> None:
    """And from there to a prefill worker; text goes there at once."""
    policy = EncodePrefillDecode(encode_workers=1, prefill_workers=1, decode_workers=1)
    views = tuple(view(role=role) for role in policy.workers())
    one = with_image(0)
    assert policy.readers(one, views) == (0,)
    one.num_encoded = 1
    assert policy.route(one, views) == 1
    assert policy.route(waiting(0, 5), views) == 1
    assert policy.route(transferring(0, 5), views) == 2


def test_media_of_one_request_are_dealt_to_those_with_the_least_to_read() -> None:
    """Equal images go together; without spreading all go to one worker."""
    policy = EncodePrefillDecode(encode_workers=3)
    busy = [EncodeWork(with_images(1, 5), 0)]
    roles = policy.workers()
    views = (view(role=roles[0], media=busy), *(view(role=role) for role in roles[1:]))
    assert policy.readers(with_images(2, 4, 3, 2, 3, 1), views) == (1, 2, 2, 2, 1)
    alone = EncodePrefillDecode(encode_workers=3, spread_media=False)
    assert alone.readers(with_images(2, 4, 3), views) == (1, 1)


def test_media_go_where_they_are_kept_or_to_be_read() -> None:
    """Whatever else is to be read there; others go to whom that leaves the least."""
    kept = {b"5", b"7"}
    policy = EncodePrefillDecode(encode_workers=3)
    first, second, *others = policy.workers()
    nine = [EncodeWork(with_images(1, 7, 9), number) for number in (0, 1)]
    views = (
        view(role=first, media=[EncodeWork(with_images(1, 5), 0)]),
        view(role=second, media=nine, has_read=kept.__contains__),
        *(view(role=role) for role in others),
    )
    assert policy.readers(with_images(2, 9, 7, 2), views) == (1, 1, 2)
    assert policy.readers(with_images(2, 5), views) == (0,)  # 5 to read there, 9 where it is kept
    alone = EncodePrefillDecode(encode_workers=3, spread_media=False)
    assert alone.readers(with_images(2, 9, 7, 2), views) == (1, 1, 1)  # 2 more


def test_each_does_its_own() -> None:
    """Encode workers encode, prefill workers never decode, decode workers decode and receive."""
    policy = EncodePrefillDecode()
    media = [EncodeWork(with_image(0), 0)]
    step = policy.plan(view(role=Role.ENCODE, waiting=[waiting(1, 5)], media=media))
    assert (ids(step.encode), step.prefill) == ([0], ())
    step = policy.plan(view(role=Role.PREFILL, waiting=[waiting(1, 5)], running=[decoding(0, 5)]))
    assert (ids(step.prefill), step.decode) == ([1], ())
    arriving = [transferring(2, 5)]
    step = policy.plan(view(role=Role.DECODE, arriving=arriving, running=[decoding(0, 5)]))
    assert (ids(step.decode), step.receive) == ([0], tuple(arriving))


def test_nobody_is_received_without_room() -> None:
    """Blocks for all its tokens, one in reserve for each that runs, and a place in the batch."""
    arriving, running = [transferring(2, 5)], [decoding(0, 5)]
    policy = Disaggregated()

    def received(**changes: int) -> int:
        one = view(role=Role.DECODE, arriving=arriving, running=running, **changes)
        return len(policy.plan(one).receive)

    assert (received(free_blocks=3), received(free_blocks=2)) == (1, 0)
    assert (received(max_sequences=2), received(max_sequences=1)) == (1, 0)


def test_who_is_under_way_gives_no_blocks_up() -> None:
    """Its blocks are being filled: the one that lacks a block waits, and keeps its own."""
    view_ = view(role=Role.DECODE, running=[decoding(0, 4), transferring(1, 4)], free_blocks=0)
    step = Disaggregated().plan(view_)
    assert (step.decode, step.preempt, step.receive) == ((), (), ())
