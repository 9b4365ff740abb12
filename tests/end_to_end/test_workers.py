"""Several worker processes: the same load, and what happens when one is lost."""

import os
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchsuite.results.result import RunResult
from tests.end_to_end.commands import benchsuite, scenario, started, when_recording

LONG = {"arrivals": "{type: poisson, rate: 100}", "limits": "{requests: 600}"}


def _due(folder: Path) -> list[tuple[int, float]]:
    table = pq.read_table(folder / "requests.parquet")
    pairs = zip(table["request_id"].to_pylist(), table["due_s"].to_pylist(), strict=True)
    return sorted((i, round(due_s, 6)) for i, due_s in pairs)


def test_workers_send_the_same_schedule(tmp_path: Path) -> None:
    """Two workers together send what one sends, each request when it is due."""
    path = scenario(tmp_path)
    for workers in ("1", "2"):
        done = benchsuite("run", path, "--workers", workers, "--out", tmp_path / workers)
        assert done.returncode == 0, done.stdout + done.stderr
    assert _due(tmp_path / "1") == _due(tmp_path / "2")
    table = pq.read_table(tmp_path / "2" / "requests.parquet")
    assert set(table["worker"].to_pylist()) == {0, 1}
    assert RunResult.load(tmp_path / "2").requests.ok == 40


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _worker_ids(pid: int) -> list[int]:
    found = []
    for child in _children(pid):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(child)
    return sorted(found)


def test_a_lost_worker_marks_the_run_and_the_others_go_on(tmp_path: Path) -> None:
    """Its part is reported lost; what the other recorded is kept."""
    folder = tmp_path / "run"
    path = scenario(tmp_path, **LONG)
    with started("run", path, "--workers", "2", "--out", folder) as process:
        when_recording(folder, "1.arrows")
        os.kill(_worker_ids(process.pid)[0], signal.SIGKILL)
        process.communicate(timeout=120)
        assert process.returncode == 4
    result = RunResult.load(folder)
    assert "was lost (exit code -9, its part 300 requests)" in (result.partial or "")
    assert result.requests.ok >= 300


def test_ctrl_c_reaches_the_workers(tmp_path: Path) -> None:
    """One interrupt stops both, and both keep what they measured."""
    folder = tmp_path / "run"
    path = scenario(tmp_path, **LONG)
    with started("run", path, "--workers", "2", "--out", folder) as process:
        when_recording(folder, "0.arrows")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    result = RunResult.load(folder)
    assert result.partial == "interrupted"
    assert 0 < result.requests.ok < 600


def test_workers_do_not_outlive_the_run(tmp_path: Path) -> None:
    """If the first process is killed, the others stop by themselves."""
    folder = tmp_path / "run"
    path = scenario(tmp_path, **LONG)
    with started("run", path, "--workers", "2", "--out", folder) as process:
        when_recording(folder, "0.arrows")
        workers = _worker_ids(process.pid)
        assert len(workers) == 2
        process.kill()
        process.wait()
        deadline_s = time.monotonic() + 30
        while any(_is_running(pid) for pid in workers):
            assert time.monotonic() < deadline_s, "a worker outlived the run"
            time.sleep(0.1)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] not in "ZX"
    except FileNotFoundError:
        return False
