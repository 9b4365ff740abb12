"""What a run says of its own instrument, from the workers' accounts to the report."""

import sys
from pathlib import Path

import pytest

from benchsuite.results.facts import Facts
from benchsuite.results.result import RunResult
from tests.end_to_end.commands import benchsuite, scenario


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernel stamps, /proc/stat")
def test_every_worker_accounts_for_itself_and_every_latency_has_a_bound(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = benchsuite("run", scenario(tmp_path), "--workers", 2, "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = RunResult.load(folder).instrument
    assert [client.worker for client in found.clients] == [0, 1]
    assert all(0 < client.cpu_s < client.wall_s * 64 for client in found.clients)
    assert all(0 < client.clock_error_s < 1 for client in found.clients)
    assert found.others_cpu is not None
    assert found.selftest is None
    assert {"ttft", "tpot", "itl", "e2e_latency"} <= found.error_s.keys()
    assert all(bound_s > 0 for bound_s in found.error_s.values())
    assert found.load is not None
    assert found.load.requests_per_s > 0
    assert Facts.load(folder).clients == found.clients
    page = (folder / "report.html").read_text()
    assert "CPU of each sending process" in page
    assert "none of this machine and version" in page
