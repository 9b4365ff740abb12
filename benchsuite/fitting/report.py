"""All families side by side, for people and for programs."""

from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchsuite import streams
from benchsuite.arrivals.base import FloatArray, IntArray
from benchsuite.fitting.base import Events, Fit
from benchsuite.fitting.families import FAMILIES
from benchsuite.fitting.sample import Sample
from benchsuite.workloads.description import WINDOWS_S, fano, gap_cv


def fits(events: Events) -> list[Fit]:
    """Every family's, the likeliest (by AIC) first. Where there are classes, a family that says
    nothing of them is given each event's class at its overall share."""
    found = [_with_classes(family.fit(events), events) for family in FAMILIES]
    return sorted(found, key=lambda fit: fit.aic)


def _with_classes(fit: Fit, events: Events) -> Fit:
    num = len(events.names)
    if num == 1 or fit.family == "hawkes":
        return fit
    counts = np.bincount(events.kind[1:], minlength=num)
    shares = counts[counts > 0] / counts.sum()
    entropy = float(counts[counts > 0] @ np.log(shares))
    return fit._replace(
        log_likelihood=fit.log_likelihood + entropy, num_parameters=fit.num_parameters + num - 1
    )


def fanos(at_s: FloatArray) -> list[float | None]:
    return [fano(at_s, window_s) for window_s in WINDOWS_S]


def simulated(fit: Fit, num: int, seed: int = 0) -> FloatArray:
    """As many events as the trace has, drawn from the fit."""
    due_s = fit.arrivals.due_times(num, streams.rng(seed, "fit"), None)
    assert due_s is not None, "no family is a closed loop"
    return due_s


def show(console: Console, sample: Sample, found: list[Fit]) -> None:
    """The table, then what was done to the times, then the lengths of each class."""
    events = sample.events
    num = len(events.gaps_s)
    console.print(
        f"{num + 1} sessions in {events.at_s[-1]:.1f} s, {events.rate:.4g} a second; gaps: "
        f"coefficient of variation {_short(gap_cv(events.at_s))}",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    for name in ("", "LL/event", "AIC", "KS", "p", "PCE", "F(1s)", "F(10s)", "F(60s)"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_row("recorded", *[""] * 5, *map(_short, fanos(events.at_s)))
    for fit in found:
        table.add_row(
            fit.family,
            f"{fit.log_likelihood / num:.4f}",
            f"{fit.aic:.0f}",
            f"{fit.ks:.4f}",
            f"{fit.ks_p:.2g}",
            f"{fit.pce:.4f}",
            *map(_short, fanos(simulated(fit, num + 1))),
        )
    console.print(table)
    for fit in found:
        told = ", ".join(f"{name} {value:.4g}" for name, value in fit.parameters.items())
        console.print(f"{fit.family}: {told}", highlight=False)
    for note in (*sample.notes, *(note for fit in found for note in fit.notes)):
        console.print(note, highlight=False)
    for name, lengths in sample.lengths.items():
        prompts, outputs = map(_spread, lengths)
        console.print(
            f"{name}: {len(lengths.prompt_tokens)} requests, prompts {prompts}, outputs {outputs}, "
            f"rank correlation {lengths.rank_correlation:.3f}",
            highlight=False,
        )


def _spread(tokens: IntArray) -> str:
    p50, p99 = np.quantile(tokens, (0.5, 0.99))
    return f"{tokens.mean():.0f} tokens (median {p50:.0f}, p99 {p99:.0f})"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def as_json(sample: Sample, found: list[Fit]) -> str:
    """For programs: every number of the table, and the arrivals as a scenario has them."""
    events = sample.events
    told = {
        "num_sessions": len(events.at_s),
        "span_s": float(events.at_s[-1]),
        "rate": events.rate,
        "gap_cv": gap_cv(events.at_s),
        "fano": _by_window(events.at_s),
        "notes": sample.notes,
        "fits": [_told(fit, len(events.at_s)) for fit in found],
        "lengths": {
            name: {
                "num_requests": len(one.prompt_tokens),
                "prompt_tokens_mean": float(one.prompt_tokens.mean()),
                "output_tokens_mean": float(one.output_tokens.mean()),
                "rank_correlation": one.rank_correlation,
            }
            for name, one in sample.lengths.items()
        },
    }
    return msgspec.json.format(msgspec.json.encode(told)).decode()


def _told(fit: Fit, num: int) -> dict[str, Any]:
    return {
        "family": fit.family,
        "log_likelihood": fit.log_likelihood,
        "num_parameters": fit.num_parameters,
        "aic": fit.aic,
        "ks": fit.ks,
        "ks_p": fit.ks_p,
        "pce": fit.pce,
        "parameters": fit.parameters,
        "fano": _by_window(simulated(fit, num)),
        "arrivals": fit.arrivals,
        "notes": fit.notes,
    }


def _by_window(at_s: FloatArray) -> dict[str, float | None]:
    return {f"{window_s:g}s": fano(at_s, window_s) for window_s in WINDOWS_S}
