"""The fit of the roofline: what was put in comes out; what is measured is what was asked."""

import asyncio

import msgspec
import pytest

from reference_engine import calibration
from reference_engine.calibration import Asked, Kind, Timed
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.model_source import PRESETS

TRUE = Roofline(
    device="h200",
    flops_efficiency=0.55,
    bandwidth_efficiency=0.8,
    overhead_s=3e-4,
    overhead_per_sequence_s=2e-6,
)


def steps(true: Roofline) -> list[Timed]:
    """Prefills and decodes of an 8B, on both sides of the roofline, as `true` times them."""
    shape = PRESETS["llama-3-8b"]
    weights_bytes = shape.num_params * shape.dtype_bytes
    found = []
    alone = [(64, 0), (512, 0), (4096, 0), (0, 1), (0, 8), (0, 64), (0, 128)]
    for prefill, batch in [*alone, (64, 8), (512, 64)]:
        tokens = prefill + batch
        moved = weights_bytes + batch * shape.kv_bytes_per_token * (1000 + batch)
        one = Timed(Kind(prefill, batch, 100), 2.0 * shape.num_params * tokens, moved, 0.0)
        found.append(one._replace(measured_s=calibration.predicted_s(one, true)))
    return found


def test_a_roofline_is_found_again() -> None:
    """Without noise it is the one that was put in."""
    fitted = calibration.fit(steps(TRUE), Roofline(device="h200"))
    for name in ("flops_efficiency", "bandwidth_efficiency", "overhead_s"):
        assert getattr(fitted, name) == pytest.approx(getattr(TRUE, name), rel=1e-3), name
    assert fitted.overhead_per_sequence_s == pytest.approx(2e-6, rel=1e-2)


@pytest.mark.parametrize("prefill_overhead_s", [9e-3, 1e-4])
def test_both_overheads_are_found_again(prefill_overhead_s: float) -> None:
    """Of prefills and of decodes, whichever is the longer; a step with both takes that one."""
    true = msgspec.structs.replace(TRUE, prefill_overhead_s=prefill_overhead_s)
    fitted = calibration.fit(steps(true), Roofline(device="h200"))
    for name in ("flops_efficiency", "bandwidth_efficiency", "overhead_s", "prefill_overhead_s"):
        assert getattr(fitted, name) == pytest.approx(getattr(true, name), rel=1e-3), name


def test_one_overhead_cannot_explain_two() -> None:
    """As it was before: a decode's alone leaves a short prefill far off."""
    true = msgspec.structs.replace(TRUE, prefill_overhead_s=9e-3)
    timed = steps(true)
    fitted = calibration.fit(timed, Roofline(device="h200"))
    one = msgspec.structs.replace(fitted, prefill_overhead_s=None)
    assert calibration.predicted_s(timed[0], one) < 0.6 * timed[0].measured_s
    assert calibration.predicted_s(timed[0], fitted) == pytest.approx(timed[0].measured_s, rel=1e-3)


def test_what_no_step_tells_of_stays_possible() -> None:
    """One decode, faster than the data sheet: an efficiency is never above 1, an overhead never
    below 0.
    """
    one = steps(TRUE)[3]._replace(measured_s=1e-6)
    fitted = calibration.fit([one], Roofline(device="h200"))
    assert 0 < fitted.flops_efficiency <= 1
    assert fitted.bandwidth_efficiency == 1
    assert fitted.overhead_s >= 0
    assert fitted.overhead_per_sequence_s >= 0


def test_the_grid_fits_into_the_pool() -> None:
    """Small pools leave out what they cannot hold, not everything."""
    config = EngineConfig(model="tiny", num_blocks=16, max_sequences=8, max_model_len=128)
    kinds = calibration.grid(config)
    assert Kind(64, 0, 0) in kinds
    assert Kind(0, 2, 64) in kinds
    assert all(kind.prefill < 128 and kind.batch * 65 <= 256 for kind in kinds)


def test_steps_of_the_torch_executor_are_timed() -> None:
    """A prefill, a decode and both, each with a time and its costs."""
    config = EngineConfig(model="tiny", num_blocks=64, max_sequences=4, max_model_len=128)
    kinds = [Kind(32, 0, 0), Kind(0, 2, 64), Kind(32, 2, 64)]
    timed = asyncio.run(calibration.measure(config, kinds))
    assert [one.kind for one in timed] == kinds
    assert all(one.measured_s > 0 and one.flops > 0 and one.bytes > 0 for one in timed)
    assert timed[2].flops > max(timed[0].flops, timed[1].flops)


def test_a_replay_alone_is_what_the_roofline_says() -> None:
    """No queue: the first token after one prefill step, the others after one decode step each."""
    config = EngineConfig(model="tiny", executor=TRUE)
    slow = msgspec.structs.replace(config, executor=Roofline(device="h200", overhead_s=1.0))
    asked = [Asked(0.0, [1] * 32, 5)]
    found = calibration.replay_virtually(slow, asked)
    assert found.ttft_s == pytest.approx(1.0, rel=1e-3)
    assert found.tpot_s == pytest.approx(1.0, rel=1e-3)
    assert found.tokens_per_s == pytest.approx(1.0, rel=1e-3)
    assert calibration.replay_virtually(config, asked).ttft_s < 0.001
