"""What a run measured of the bundled engine, against when the engine says each token left."""

import json
import sys
from pathlib import Path

import pytest

from benchsuite.metrics.statistics import most_by_chance
from benchsuite.results.instrument import RARE
from tests.end_to_end.commands import benchsuite, scenario

LOGGED = (
    "{type: reference_engine, emit_log: true,"
    " engine: {executor: {type: roofline, overhead_s: 0.005}}}"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernel stamps")
def test_latencies_lie_within_their_bounds_of_the_engines_log(tmp_path: Path) -> None:
    """Of two senders' requests every one is found, and half of the values and more lie within the
    bound (99 % do on a machine that does nothing else; the command's exit code says so)."""
    folder = tmp_path / "run"
    done = benchsuite("run", scenario(tmp_path, LOGGED), "--workers", 2, "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    told = benchsuite("truth", folder, "--json")
    found = json.loads(told.stdout)
    assert found["num_held"] == found["num_requests"] == 40
    assert set(found["latencies"]) == {"ttft", "ttft_sent", "tpot", "itl", "icl"}
    for held in found["latencies"].values():
        assert held["sure"]["p50"] <= held["bound_s"]
        assert held["error"]["p50"] < 1e-3
    within = [
        held["num_beyond"] <= most_by_chance(held["sure"]["n"], RARE)
        for held in found["latencies"].values()
    ]
    assert found["latencies"]["icl"]["error"]["n"] == 40 * 7
    assert told.returncode == (0 if all(within) else 4)
    assert "surely p99" in benchsuite("truth", folder).stdout


def test_a_run_that_nothing_was_logged_of_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert benchsuite("run", scenario(tmp_path), "--out", folder).returncode == 0
    missing = benchsuite("truth", folder)
    assert missing.returncode != 0
    assert "emit.jsonl: cannot be read: No such file" in missing.stderr
    other = tmp_path / "other.jsonl"
    other.write_text('{"at_s": 1.0, "id": 0, "phase": "waiting", "request": "mine"}\n')
    assert "`request_ids: true`" in benchsuite("truth", folder, "--emit-log", other).stderr
    other.write_text("what?\n")
    assert (
        "other.jsonl:1: not of an emit log"
        in benchsuite("truth", folder, "--emit-log", other).stderr
    )
