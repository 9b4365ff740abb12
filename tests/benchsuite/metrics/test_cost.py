"""Prices, and use of the accelerators."""

from typing import Any

import numpy as np
import pytest

from benchsuite.metrics.accelerators import ACCELERATORS
from benchsuite.metrics.cost import cost_metrics, price, use_metrics
from benchsuite.metrics.model_shapes import MODELS
from benchsuite.metrics.system import Prices, System
from benchsuite.records.table import RunData
from tests.runs import record, run

LIST = Prices(usd_per_million_prompt_tokens=1.0, usd_per_million_output_tokens=4.0)


def _value(name: str, data: RunData, system: System) -> Any:
    metrics = {one.name: one for one in cost_metrics(system) + use_metrics(system)}
    reason = (metrics[name].lacks or (lambda data: None))(data)
    return reason or float(np.nanmean(metrics[name].values(data)))


def test_cached_tokens_have_their_own_price_if_there_is_one() -> None:
    data = run(record(0, prompt_tokens=1000, cached_tokens=600, chunks=((0.1, 1), (0.2, 99))))
    assert price(data, LIST) == pytest.approx(np.array([(1000 + 400) / 1e6]))
    cheap = Prices(
        usd_per_million_prompt_tokens=1.0,
        usd_per_million_cached_tokens=0.1,
        usd_per_million_output_tokens=4.0,
    )
    assert price(data, cheap) == pytest.approx(np.array([(400 + 60 + 400) / 1e6]))


def test_hours_are_shared_by_what_came_out_of_them() -> None:
    """2 accelerators at 1.8 $ an hour are 0.001 $/s; 40 output and 100 prompt tokens in 10 s."""
    system = System(num_accelerators=2, prices=Prices(usd_per_accelerator_hour=1.8))
    data = run(*(record(i) for i in range(10)), window_s=(0.0, 10.0))
    assert _value("usd_per_million_output_tokens", data, system) == pytest.approx(0.01 / 40 * 1e6)
    assert _value("usd_per_million_tokens", data, system) == pytest.approx(0.01 / 140 * 1e6)
    assert _value("usd_per_request", data, system) == pytest.approx(0.001)


def test_without_prices_or_a_model_they_are_absent() -> None:
    data = run(record(0))
    assert "usd_per_accelerator_hour" in _value("usd_per_request", data, System())
    assert "no price of tokens" in _value("token_price", data, System())
    assert "no answer was graded" in _value("usd_per_correct", data, System(prices=LIST))
    assert _value("mfu", data, System()) == "no deployment.model and no deployment.accelerator"
    assert _value("ttft_flops", data, System()) == "no deployment.model"


def test_wrong_answers_are_paid_for_too() -> None:
    data = run(record(0, correct=True), record(1, correct=False))
    one = price(data, LIST)
    assert one is not None
    assert _value("usd_per_correct", data, System(prices=LIST)) == pytest.approx(one.sum())


def test_use_of_arithmetic_halves_when_time_doubles() -> None:
    """And is 1 where the accelerator does nothing but this."""
    model, accelerator = MODELS["llama-3.1-8b"], ACCELERATORS["h100-sxm"]
    system = System(model=model, accelerator=accelerator)
    rate = accelerator.dense_flops_per_s / (2 * model.active_params)
    records = [record(i, due_s=0.0, prompt_tokens=int(rate) - 4) for i in range(5)]
    assert _value("mfu", run(*records, window_s=(0.0, 5.0)), system) == pytest.approx(1, rel=1e-4)
    assert _value("mfu", run(*records, window_s=(0.0, 10.0)), system) == pytest.approx(
        0.5, rel=1e-4
    )


def test_use_of_bandwidth_is_weights_and_keys_per_token() -> None:
    """One sequence at a time: its weights and its context, read once a token."""
    model, accelerator = MODELS["llama-3.1-8b"], ACCELERATORS["h100-sxm"]
    read = model.active_params * 2 + model.kv_numbers(np.array([1010.0]))[0] * 2
    step_s = read / accelerator.bytes_per_s
    chunks = tuple((0.1 + step_s * k, 1) for k in range(21))
    data = run(
        record(0, due_s=0.0, prompt_tokens=1000, chunks=chunks[:20]),
        window_s=(0.0, 0.1 + 19 * step_s),
    )
    system = System(model=model, accelerator=accelerator)
    busy = 19 * step_s / (0.1 + 19 * step_s)  # the share of the window in which it decodes
    kv = model.kv_numbers(np.array([1010.0]))[0] * 2
    expected = (model.active_params * 2 + kv * busy) / read
    assert _value("mbu", data, system) == pytest.approx(expected, rel=1e-6)
