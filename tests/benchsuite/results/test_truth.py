"""A run held against a log that is known to the nanosecond."""

from pathlib import Path

import pytest

from benchsuite.errors import RunError
from benchsuite.results import truth
from benchsuite.results.spread import Spread
from tests.runs import failed, record, run

LOG = """\
{"at_s": 100.05, "id": 7, "phase": "waiting", "request": "0", "prompt_tokens": 9}
{"at_s": 100.06, "id": 7, "phase": "prefilling"}
{"at_s": 100.1, "emitted": [7]}
{"at_s": 100.199, "until_s": 100.2005, "written": 7}
{"at_s": 100.29, "until_s": 100.295, "written": 7}
{"at_s": 100.4, "until_s": 100.41, "written": 7}
{"at_s": 100.5, "until_s": 100.51, "written": 7}
{"at_s": 101.05, "id": 8, "phase": "waiting", "request": "1", "prompt_tokens": 9}
{"at_s": 101.2, "until_s": 101.21, "written": 8}
{"at_s": 900.0, "id": 9, "phase": "waiting", "request": "0", "prompt_tokens": 9}
"""


def log(folder: Path, text: str = LOG) -> dict[str, list[truth.Written]]:
    (folder / "emit.jsonl").write_text(text)
    return truth.read(folder / "emit.jsonl")


def test_errors_are_from_the_begin_of_a_write_and_from_its_nearest_moment(tmp_path: Path) -> None:
    """Tokens stamped 0.2, 0.3, 0.4, 0.5 s after the run's zero, which is 100 on the log's clock:
    1 ms behind the first write's begin and within it; 10 and 5 ms behind the second; right."""
    data = run(record(0), record(1), failed(2))
    found = truth.held(data, 100.0, log(tmp_path), {"ttft": 0.0005, "icl": 0.001})
    assert (found.num_requests, found.num_held) == (2, 1)  # of 1 the log lacks three tokens
    assert found.write.n == 4
    assert set(found.latencies) == {"ttft", "icl"}
    ttft, icl = found.latencies["ttft"], found.latencies["icl"]
    assert (ttft.error.max, ttft.sure.max) == (pytest.approx(0.001), pytest.approx(0.0))
    assert ttft.is_within
    assert icl.error.n == 3
    assert (icl.error.max, icl.sure.max) == (pytest.approx(0.010), pytest.approx(0.005))
    assert not icl.is_within
    assert not found.is_within


def test_a_bound_is_broken_where_more_lie_beyond_it_than_chance_puts_there() -> None:
    """Of 115 values the 99th percentile is the second largest: three beyond a bound of 99 % say
    nothing against it, five do."""
    spread = Spread(n=115, p50=0.0, p99=0.002, max=0.003)
    three, five = (
        truth.Held(bound_s=0.001, error=spread, sure=spread, num_beyond=num) for num in (3, 5)
    )
    assert three.is_within
    assert not five.is_within
    none = Spread(n=0)
    assert not truth.Held(bound_s=0.001, error=none, sure=none, num_beyond=0).is_within


def test_a_name_that_another_run_used_is_told_apart_by_its_time(tmp_path: Path) -> None:
    assert truth.held(run(record(0)), 100.0, log(tmp_path), {}).num_held == 1
    with pytest.raises(RunError, match="none of the run's requests is in the log"):
        truth.held(run(record(0)), 500.0, log(tmp_path), {})
    twice = LOG.replace('"at_s": 900.0', '"at_s": 100.4')
    with pytest.raises(RunError, match="none of the run's requests"):
        truth.held(run(record(0)), 100.0, log(tmp_path, twice), {})
