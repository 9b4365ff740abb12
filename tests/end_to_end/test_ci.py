"""The gate as a command against servers that are started for it: a planted regression, Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.commands import benchsuite, scenario, started

METRICS = ("--metric", "tpot_p50", "--repeats", "5", "--warmup-runs", "0")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def engine(folder: Path, name: str, port: int, step_s: float) -> str:
    """A command that serves the bundled engine whose steps take `step_s`."""
    config = folder / f"{name}.json"
    config.write_text(
        json.dumps(
            {"model_name": "default", "executor": {"type": "roofline", "overhead_s": step_s}}
        )
    )
    return f"exec {sys.executable} -m reference_engine --config {config} --port {port}"


def test_a_planted_regression_fails_the_job(tmp_path: Path) -> None:
    """Two servers, one of which sleeps ten times as long in each step."""
    ports = free_port(), free_port()
    path = scenario(
        tmp_path,
        f"{{type: openai_chat, url: http://127.0.0.1:{ports[1]}}}",
        limits="{requests: 15}",
    )
    out = tmp_path / "out"
    done = benchsuite(
        *("ci", path, "--mode", "regression", "--out", out, *METRICS),
        *("--server-command", engine(tmp_path, "slow", ports[1], 0.05)),
        *("--baseline-server-command", engine(tmp_path, "fast", ports[0], 0.005)),
        *("--baseline-set", f"endpoint.url=http://127.0.0.1:{ports[0]}"),
        GITHUB_ACTIONS="true",
        GITHUB_OUTPUT=str(tmp_path / "output"),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
    )
    assert done.returncode == 98, done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert len(told) == 1
    assert told[0].startswith("::error title=Regression%3A end-to-end::tpot_p50 is worse: +")
    found = json.loads((out / "ci.json").read_text())["outcomes"][0]
    assert found["comparisons"][0]["effect"] > 2
    assert found["pairs_used"] == 5
    assert "❌ worse" in (tmp_path / "summary").read_text()
    assert "\n98\n" in (tmp_path / "output").read_text()
    for port in ports:  # both were ended
        with socket.socket() as one:
            assert one.connect_ex(("127.0.0.1", port)) != 0


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    path = scenario(tmp_path, limits="{requests: 20}", arrivals="{type: poisson, rate: 20}")
    out = tmp_path / "out"
    command = ("ci", path, "--aa", "--out", out, "--repeats", "2", "--metric", "ttft_p50")
    first = out / "scenario" / "runs" / "00-now"
    with started(*command) as process:
        deadline_s = time.monotonic() + 60
        while len(list((out / "scenario" / "runs").glob("*/result.json"))) < 2:
            assert time.monotonic() < deadline_s, "no pair was made"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    cut = json.loads((out / "ci.json").read_text())
    assert (cut["exit_code"], cut["outcomes"][0]["partial"]) == (130, "interrupted")
    made_at = (first / "result.json").stat().st_mtime_ns
    done = benchsuite(*command, "--fail-on", "never")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (first / "result.json").stat().st_mtime_ns == made_at
    whole = json.loads((out / "ci.json").read_text())["outcomes"][0]
    assert (whole["partial"], len({run["name"] for run in whole["runs"]}) >= 4) == (None, True)


def test_exit_codes_of_mistakes(tmp_path: Path) -> None:
    path = scenario(tmp_path, f"{{type: openai_chat, url: http://127.0.0.1:{free_port()}}}")
    out = tmp_path / "out"

    def code(*words: str) -> tuple[int, str]:
        done: subprocess.CompletedProcess[str] = benchsuite("ci", path, "--out", out, *words)
        return done.returncode, done.stderr

    assert code("--mode", "regression")[0] == 2
    assert code("--mode", "slo", "--aa")[0] == 2
    assert code("--baseline", "yesterday")[0] == 2
    assert "--min-effect" in code("--min-effect", "lots")[1]
    assert code("--set", "endpoint.ready_within=0.2")[0] == 3
    told = json.loads((out / "ci.json").read_text())
    assert (told["exit_code"], told["verdict"]) == (3, "error")
    assert "127.0.0.1" in told["outcomes"][0]["reasons"][0]
    ended, said = code("--server-command", "echo broken; exit 3")
    assert (ended, "broken" in said) == (3, True)
    assert code("--sequential")[0] == 2
