"""What the papers of the policies `disaggregated`, `deadline` and `encode_prefill_decode` rest on,
on virtual time: DistServe (OSDI'24), FlowPrefill (arXiv:2602.16603), EPD (arXiv:2501.05460)."""

import asyncio
from collections.abc import Sequence as Seq
from typing import NamedTuple

import numpy as np
import pytest

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.executors import Roofline
from reference_engine.executors.costs import encoder_flops
from reference_engine.media import MERGED, Media, Placed
from reference_engine.policies import (
    Colocated,
    Deadline,
    Disaggregated,
    EncodePrefillDecode,
    Policy,
)
from reference_engine.sequence import Phase, SamplingParams, Sequence
from reference_engine.specs import DEVICES, encoder_shape
from tests.reference_engine.simulation import run_virtually

IMAGE_TOKENS = 256


class Asked(NamedTuple):
    at_s: float
    prompt_tokens: int
    output_tokens: int = 1
    ttft_slo_s: float | None = None
    images: tuple[bytes, ...] = ()


def answered(policy: Policy, device: str, asked: Seq[Asked]) -> list[Sequence]:
    """All of them, ended, as an 8B on such devices would."""
    config = EngineConfig(
        model="llama-3-8b", executor=Roofline(device=device), policy=policy, prefix_caching=False
    )

    async def main() -> list[Sequence]:
        async with Engine.open(config) as engine:

            async def one(number: int, want: Asked) -> Sequence:
                await asyncio.sleep(want.at_s)
                params = SamplingParams(
                    max_tokens=want.output_tokens, ignore_eos=True, ttft_slo_s=want.ttft_slo_s
                )
                prompt = [number % 1000] * want.prompt_tokens
                sequence = engine.submit(prompt, params, media=placed(want.images))
                assert len([token async for token in engine.tokens(sequence)]) == want.output_tokens
                return sequence

            return await asyncio.gather(*(one(*each) for each in enumerate(asked)))

    return run_virtually(main)


def placed(images: tuple[bytes, ...]) -> tuple[Placed, ...]:
    features = np.zeros((MERGED * IMAGE_TOKENS, 1), np.float32)
    return tuple(
        Placed(number * IMAGE_TOKENS, Media("image", key, features))
        for number, key in enumerate(images)
    )


def ttft_s(sequence: Sequence) -> float:
    return sequence.stamps_s[Phase.DECODING] - sequence.arrived_s


def tpot_s(sequence: Sequence) -> float:
    first_s = sequence.stamps_s[Phase.DECODING]
    return (sequence.last_token_s - first_s) / (len(sequence.output_ids) - 1)


def test_distserve_two_that_read_and_one_that_writes_beat_three_that_do_both() -> None:
    """512 tokens in, 64 out, 60 requests/s (section 2): answers flow faster, more evenly where no
    prompt stands between two of their tokens; the tokens are the same."""
    gaps_s = np.random.default_rng(1).exponential(1 / 60, 180)
    asked = [Asked(float(at_s), 512, 64) for at_s in np.cumsum(gaps_s)]
    together = answered(Colocated(replicas=3), "a100", asked)
    apart = answered(Disaggregated(prefill_workers=2, decode_workers=1), "a100", asked)
    both = [np.array([tpot_s(one) for one in some]) for some in (apart, together)]
    assert both[0].mean() < 0.8 * both[1].mean()
    assert np.quantile(both[0], 0.99) < 0.6 * np.quantile(both[1], 0.99)
    assert [one.output_ids for one in apart] == [one.output_ids for one in together]


def test_flowprefill_a_pressing_prompt_waits_for_a_step_and_no_longer() -> None:
    """A prompt of 100 ms comes while one of seconds is read. Its blocking time is what is left of
    one group of layers, and both keep their SLOs; first come first, it waits for all of the other,
    and misses."""
    asked = [Asked(0.0, 8000, 1, 10.0), Asked(0.05, 512, 1, 0.15)]
    device = "l4"
    for order in ("edf", "s_edf"):
        long, short = answered(Deadline(order=order), device, asked)
        blocked_s = short.stamps_s[Phase.PREFILLING] - short.arrived_s
        groups = -(-8000 // Deadline().step_tokens)
        [alone] = answered(Deadline(order=order), device, asked[:1])
        assert blocked_s <= ttft_s(alone) / groups * 1.25  # layers do not divide evenly
        assert ttft_s(short) <= 0.15
        assert ttft_s(long) <= 10.0
        [short_alone] = answered(Deadline(order=order), device, asked[1:])
        assert ttft_s(long) == pytest.approx(ttft_s(alone) + ttft_s(short_alone), rel=0.05)
    long, short = answered(Deadline(order="fcfs", preempt=False), device, asked)
    assert short.stamps_s[Phase.DECODING] > long.stamps_s[Phase.DECODING]
    assert ttft_s(short) > 0.15


def test_epd_encoding_grows_by_the_same_with_each_image_and_none_is_read_twice() -> None:
    """The slope is the encoder's arithmetic at the device's peak; an image seen before costs
    nothing."""
    policy = EncodePrefillDecode(encode_tokens=16 * IMAGE_TOKENS)
    keys = [str(number).encode() for number in range(40)]
    counts = (2, 4, 8)
    asked = [
        Asked(float(turn), count * IMAGE_TOKENS + 16, images=tuple(keys[10 * turn :][:count]))
        for turn, count in enumerate(counts)
    ]
    asked.append(Asked(9.0, 8 * IMAGE_TOKENS + 16, images=asked[-1].images))
    spans_s = [
        one.stamps_s[Phase.TRANSFERRING] - one.stamps_s[Phase.ENCODING]
        for one in answered(policy, "h200", asked)
    ]
    shape = encoder_shape(EngineConfig(model="llama-3-8b").source.shape())
    image_s = encoder_flops(MERGED * IMAGE_TOKENS, shape) / DEVICES["h200"].peak_flops_per_s
    assert spans_s[1] - spans_s[0] == pytest.approx(2 * image_s, rel=1e-6)
    assert spans_s[2] - spans_s[1] == pytest.approx(4 * image_s, rel=1e-6)
    assert spans_s[3] == 0.0


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_epd_images_of_one_request_are_read_in_parallel(workers: int) -> None:
    """On m encode workers k images take as long as ceil(k / m), and the first token comes earlier
    by what is saved; with `spread_media: false` more workers save nothing."""
    keys = tuple(str(number).encode() for number in range(6))
    asked = [Asked(0.0, 6 * IMAGE_TOKENS + 16, images=keys)]

    def told(spread: bool) -> tuple[float, float]:
        policy = EncodePrefillDecode(
            encode_workers=workers, encode_tokens=6 * IMAGE_TOKENS, spread_media=spread
        )
        [one] = answered(policy, "h200", asked)
        return one.stamps_s[Phase.TRANSFERRING] - one.stamps_s[Phase.ENCODING], ttft_s(one)

    shape = encoder_shape(EngineConfig(model="llama-3-8b").source.shape())
    image_s = encoder_flops(MERGED * IMAGE_TOKENS, shape) / DEVICES["h200"].peak_flops_per_s
    overhead_s = Roofline().overhead_s
    (spread_s, spread_ttft_s), (alone_s, alone_ttft_s) = told(True), told(False)
    assert alone_s == pytest.approx(6 * image_s + overhead_s, rel=1e-6)
    assert spread_s == pytest.approx(-(-6 // workers) * image_s + overhead_s, rel=1e-6)
    assert alone_ttft_s - spread_ttft_s == pytest.approx(alone_s - spread_s, rel=1e-6, abs=1e-12)
