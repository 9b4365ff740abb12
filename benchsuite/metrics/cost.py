"""Money, and how much of the accelerators' arithmetic and bandwidth was put to use."""

import numpy as np

from benchsuite.metrics import fits
from benchsuite.metrics.answers import lacks_grades, per_right_answer
from benchsuite.metrics.base import Interval, Metric
from benchsuite.metrics.latency import tpot, ttft_sent
from benchsuite.metrics.long_context import lacks_prompts, line_of, uncached_tokens
from benchsuite.metrics.overlap import decode_concurrency
from benchsuite.metrics.system import Prices, System
from benchsuite.metrics.throughput import (
    output_token_rate,
    request_rate,
    total_token_rate,
    uncached_token_rate,
)
from benchsuite.metrics.token_costs import eflops, prefill_flops
from benchsuite.records.table import FloatArray, RunData


def price(data: RunData, prices: Prices) -> FloatArray | None:
    """US dollars that each request's tokens cost, [n]; None where no such price is known."""
    prompt, output = prices.usd_per_million_prompt_tokens, prices.usd_per_million_output_tokens
    if prompt is None or output is None:
        return None
    cached = prices.usd_per_million_cached_tokens
    reused = np.maximum(data.cached_tokens, 0)
    whole: FloatArray = (
        (data.prompt_tokens - reused) * prompt
        + reused * (prompt if cached is None else cached)
        + data.output_tokens * output
    ) / 1e6
    return whole


def usd_per_million(usd_per_hour: float, tokens_per_s: float) -> float:
    """What a million tokens cost at that rate."""
    return usd_per_hour / 3600 / tokens_per_s * 1e6 if tokens_per_s > 0 else np.nan


def activated_params(data: RunData, system: System) -> FloatArray:
    """Parameters that each output token of a request is multiplied with, [n]: those told for the
    model that it named, or for the deployment's where it named none; NaN where nobody told."""
    usual = system.model.active_params if system.model is not None else np.nan
    told = system.model_params | {"": usual}
    return np.array([told.get(name, np.nan) for name in data.model], dtype=np.float64)


def cost_metrics(system: System) -> tuple[Metric, ...]:
    """Bound to prices, model and accelerators."""
    prices = system.prices or Prices()
    hourly = prices.usd_per_accelerator_hour

    def per_hour() -> float:
        return (hourly or np.nan) * system.num_accelerators

    def of_hours(data: RunData) -> str | None:
        return None if hourly is not None else "no usd_per_accelerator_hour in deployment.prices"

    def of_tokens(data: RunData) -> str | None:
        known = price(data, prices) is not None
        return None if known else "no price of tokens in deployment.prices"

    def output_price(data: RunData) -> FloatArray:
        """Price of the accelerators for an hour / output tokens that they gave in one, a million at
        a time: at this load, not at the best one. Source: InferenceMAX."""
        return np.array([usd_per_million(per_hour(), float(output_token_rate(data)[0]))])

    def total_price(data: RunData) -> FloatArray:
        """As `usd_per_million_output_tokens`, over prompt and output tokens.
        Source: InferenceMAX."""
        return np.array([usd_per_million(per_hour(), float(total_token_rate(data)[0]))])

    def request_price(data: RunData) -> FloatArray:
        """Price of the accelerators for the window / requests that ended well in it."""
        return np.array([usd_per_million(per_hour(), float(request_rate(data)[0])) / 1e6])

    def token_price(data: RunData) -> FloatArray:
        """What a request's tokens cost by the list of prices, cached ones at their own."""
        found = price(data, prices)
        assert found is not None
        return found

    def correct_price(data: RunData) -> FloatArray:
        """`token_price` of all graded answers, right and wrong, / right answers."""
        return np.array([per_right_answer(token_price(data), data)])

    def of_grades(data: RunData) -> str | None:
        return of_tokens(data) or lacks_grades(data)

    return (
        Metric("usd_per_million_output_tokens", "$ per million output tokens", "$", "lower", "run",
               output_price, lacks=of_hours),
        Metric("usd_per_million_tokens", "$ per million tokens", "$", "lower", "run", total_price,
               lacks=of_hours),
        Metric("usd_per_request", "$ per request", "$", "lower", "run", request_price,
               lacks=of_hours),
        Metric("token_price", "Price of the tokens", "$", "lower", "request", token_price,
               lacks=of_tokens),
        Metric("usd_per_correct", "$ per right answer", "$", "lower", "run", correct_price,
               lacks=of_grades),
    )  # fmt: skip


def use_metrics(system: System) -> tuple[Metric, ...]:
    """How much of the accelerators was used, and what the work weighs on paper."""

    def peak() -> tuple[float, float]:
        """(FLOP/s, bytes/s) of all accelerators."""
        assert system.accelerator is not None
        one, num = system.accelerator, system.num_accelerators
        return one.dense_flops_per_s * num, one.bytes_per_s * num

    def of_model(data: RunData) -> str | None:
        return system.lacks

    def mfu(data: RunData) -> FloatArray:
        """2 * active parameters * tokens that were computed per second (prompt tokens that were not
        cached, and output tokens) / the accelerators' dense peak. Attention is left out. Source:
        PaLM, arXiv:2204.02311, model FLOPs utilisation."""
        assert system.model is not None
        rate = float(uncached_token_rate(data)[0])
        return np.array([2 * system.model.active_params * rate / peak()[0]])

    def mbu(data: RunData) -> FloatArray:
        """(Bytes of active weights + bytes of KV of all sequences that decode at once) / the mean
        time of a token / the accelerators' bandwidth. Of a mixture of experts a batch reads more
        weights than one token does, so it is too low there. Source: APEX, arXiv:2411.17651."""
        model = system.model
        assert model is not None
        chosen = data.in_window & data.ok
        token_s = data.once(tpot)[chosen]
        if np.isnan(token_s).all():
            return np.array([np.nan])
        context = (data.prompt_tokens + data.output_tokens / 2)[chosen]
        kv_bytes = float(np.mean(model.kv_numbers(context))) * model.kv_bytes
        read = model.active_params * model.weight_bytes
        read += kv_bytes * float(decode_concurrency(data)[0])
        return np.array([read / float(np.nanmean(token_s)) / peak()[1]])

    def cost(data: RunData) -> FloatArray:
        """Arithmetic of decoding an answer, attention included, and the bytes of KV that it reads,
        priced at the accelerator's dense ridge: FLOPs by what they would cost. Unlike PTE it grows
        with the answer, and knows no prefill. Source: Kinetics, arXiv:2506.05333, eFLOPs."""
        assert system.model is not None
        assert system.accelerator is not None
        ridge = system.accelerator.flops_per_byte("dense")
        prompt, output = data.prompt_tokens.astype(np.float64), data.output_tokens
        arithmetic, memory = eflops(system.model, ridge, prompt, output)
        found: FloatArray = arithmetic + memory
        return found

    def first(data: RunData) -> FloatArray:
        """FLOPs of a request's prefill: 2 * active parameters a token, and causal attention.
        Source: KV Prediction, arXiv:2410.08391, TTFT FLOPs; the attention term is ours."""
        assert system.model is not None
        found: FloatArray = prefill_flops(system.model, uncached_tokens(data))
        return found

    def prefill_line(data: RunData) -> fits.Line | None:
        return line_of(first(data), ttft_sent(data), data)

    def prefill_speed(data: RunData) -> FloatArray:
        """FLOP/s that prefilling comes to: 1 / slope of `ttft_sent` over `ttft_flops`, by least
        squares, so that what every request waits alike is left out. Of the server only where
        nothing queues. Interval: bootstrap over sessions. Source: KV Prediction, arXiv:2410.08391,
        TTFT FLOPs."""
        line = prefill_line(data)
        return np.array([1 / line.slope if line is not None and line.slope > 0 else np.nan])

    def prefill_speed_interval(data: RunData) -> Interval | None:
        line = prefill_line(data)
        if line is None or line.slope_ci is None or not line.slope_ci[0] > 0:
            return None
        return 1 / line.slope_ci[1], 1 / line.slope_ci[0]

    def prefill_fit(data: RunData) -> FloatArray:
        """Share of the variance of `ttft_sent` that `ttft_flops` explain in the line of
        `prefill_flops_per_s`, R2: far below 1 the first token waits for other things than its own
        prefill. Source: KV Prediction, arXiv:2410.08391."""
        line = prefill_line(data)
        return np.array([np.nan if line is None else line.r2])

    def activated(data: RunData) -> FloatArray:
        """Mean over the output tokens of the active parameters of the model that made them, of
        requests that ended well: what routing between a small and a large model saves. By whole
        requests: no server tells it token by token. Source: R2R, arXiv:2505.21600."""
        tokens = np.where(data.in_window & data.ok, data.output_tokens, 0)
        made = tokens > 0
        total = float(tokens[made].sum())
        params = float((activated_params(data, system)[made] * tokens[made]).sum())
        return np.array([params / total if total else np.nan])

    def of_params(data: RunData) -> str | None:
        if not system.model_params:
            return "no deployment.model_params"
        untold = np.isnan(activated_params(data, system)) & data.in_window & data.ok
        names = sorted({name for name, lacks in zip(data.model, untold, strict=True) if lacks})
        if names == [""]:
            return "no deployment.model for the requests that name none"
        return (
            f"not in deployment.model_params: {', '.join(filter(None, names))}" if names else None
        )

    def of_lengths(data: RunData) -> str | None:
        return of_shape(data) or lacks_prompts(data)

    def of_shape(data: RunData) -> str | None:
        return None if system.model is not None else "no deployment.model"

    return (
        Metric("mfu", "Model FLOPs utilisation", "share", "higher", "run", mfu, lacks=of_model),
        Metric("mbu", "Model bandwidth utilisation", "share", "higher", "run", mbu, lacks=of_model),
        Metric("eflops", "eFLOPs", "FLOP", "lower", "request", cost, lacks=of_model),
        Metric("ttft_flops", "FLOPs to the first token", "FLOP", "lower", "request", first,
               lacks=of_shape),
        Metric("prefill_flops_per_s", "FLOP/s of prefill", "FLOP/s", "higher", "run",
               prefill_speed, interval=prefill_speed_interval, lacks=of_lengths),
        Metric("ttft_flops_r2", "First token explained by FLOPs", "share", "higher", "run",
               prefill_fit, lacks=of_lengths),
        Metric("activated_params", "Activated parameters per output token", "", "lower", "run",
               activated, lacks=of_params),
    )  # fmt: skip
