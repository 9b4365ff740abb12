"""A fit as a scenario: the arrivals that were found, and lengths as the trace had them."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.base import IntArray
from benchsuite.endpoints import Endpoint
from benchsuite.errors import ScenarioError
from benchsuite.fitting.base import Fit
from benchsuite.fitting.reading import Asked
from benchsuite.fitting.sample import Lengths, Sample
from benchsuite.scenario import Limits, Scenario
from benchsuite.workloads import Mix, Resampled, Synthetic, Trace, Workload
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.lengths import Empirical
from benchsuite.workloads.mix import Part
from benchsuite.yaml_file import write

QUANTILES: Final = 100  # of each length; between them nothing is kept
LARGEST: Final = 0.95  # of a rank correlation that is written; nearer to 1 means the same
DIGITS: Final = 6


def write_one(
    sample: Sample,
    fits: list[Fit],
    asked: Asked,
    trace: Path,
    *,
    family: str | None,
    is_paired: bool,
    path: Path,
) -> None:
    """The best fit's, or `family`'s. Raises ScenarioError where that cannot be."""
    chosen = next((fit for fit in fits if family in (None, fit.family)), None)
    if chosen is None:
        known = ", ".join(sorted(fit.family for fit in fits))
        raise ScenarioError(f"--family {family}: unknown (known: {known})")
    source = asked.workload.source if isinstance(asked.workload, Trace) else None
    if is_paired and source is None:
        raise ScenarioError(f"--pairs: {trace} is no trace")
    made = scenario(
        sample,
        chosen.arrivals,
        name=path.stem,
        endpoint=asked.endpoint,
        source=source if is_paired else None,
    )
    save(made, header(trace.name, sample, chosen), path)


def header(trace: str, sample: Sample, fit: Fit) -> list[str]:
    """What a scenario made of a fit says of itself."""
    num = len(sample.events.gaps_s)
    return [
        f"Does the service keep up with traffic like that of {trace}?",
        "",
        f"Arrivals: {fit.family}, by maximum likelihood from {num + 1} sessions (log-likelihood",
        f"{fit.log_likelihood / num:.4f} per session, AIC {fit.aic:.0f}, residual KS {fit.ks:.4f}, "
        f"PCE {fit.pce:.4f}).",
        "Lengths: of the same trace. Ten minutes.",
    ]


def scenario(
    sample: Sample,
    arrivals: Arrivals,
    *,
    name: str,
    endpoint: Endpoint,
    source: TraceFormat | None,
) -> Scenario:
    """Ten minutes of it. `source`: draw pairs of lengths from its rows; None: a Gaussian copula of
    the lengths' quantiles, which needs no file."""
    return Scenario(
        name=name,
        endpoint=endpoint,
        workload=_workload(sample, source),
        arrivals=arrivals,
        limits=Limits(duration=600.0),
    )


def _workload(sample: Sample, source: TraceFormat | None) -> Workload:
    names = sample.events.names
    if len(names) == 1 and source is not None:
        return Resampled(source=source)
    if len(names) == 1:
        return _tied(sample.lengths[names[0]])
    counts = np.bincount(sample.events.kind, minlength=len(names))
    return Mix(
        parts={
            name: Part(
                weight=int(count),
                workload=_tied(sample.lengths[name])
                if source is None
                else Resampled(source=source, slo_class=name),
            )
            for name, count in zip(names, counts, strict=True)
        }
    )


def _tied(lengths: Lengths) -> Synthetic:
    return Synthetic(
        prompt_tokens=_quantiles(lengths.prompt_tokens),
        output_tokens=_quantiles(lengths.output_tokens),
        rank_correlation=round(float(np.clip(lengths.rank_correlation, -LARGEST, LARGEST)), 3),
    )


def _quantiles(tokens: IntArray) -> Empirical:
    """The middles of equal shares; at least 1 token."""
    num = min(QUANTILES, len(tokens))
    shares = (np.arange(num) + 0.5) / num
    found = np.maximum(np.quantile(tokens, shares, method="inverted_cdf"), 1)
    return Empirical(values=tuple(int(value) for value in found))


def save(scenario: Scenario, header: list[str], path: Path) -> None:
    """As YAML that a person would write: a header, and only what differs from the defaults."""
    write(_changed(scenario), path)
    body = path.read_text(encoding="utf-8")
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header)
    path.write_text(comment + body, encoding="utf-8")


def _changed(value: Any) -> Any:
    """A struct as its `type` and the fields that differ from its type's defaults."""
    if isinstance(value, dict):
        return {key: _changed(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_changed(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if not isinstance(value, Struct):
        return value
    info = msgspec.inspect.type_info(type(value))
    assert isinstance(info, msgspec.inspect.StructType)
    kept: dict[str, Any] = {"type": info.tag} if info.tag is not None else {}
    for field in info.fields:
        own = getattr(value, field.name)
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if field.required or own != default:
            kept[field.encode_name] = _changed(own)
    return kept
