"""The command as a subprocess, and a small scenario for it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENGINE = "{type: reference_engine, engine: {executor: {type: roofline, overhead_s: 0.005}}}"
SCENARIO = """\
# A comment.
name: end-to-end
seed: 3
endpoint: ENDPOINT
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 16}
  output_tokens: {type: fixed, value: 8}
arrivals: {type: poisson, rate: 50}
limits: {requests: 40}
slo: {default: {ttft: 500ms, tpot: 50ms}}
validity: {send_delay: 1s, client_lag: 1s, load_error: 0.5}
"""


def scenario(folder: Path, endpoint: str = ENGINE, **changes: str) -> Path:
    """The scenario above, with whole lines replaced."""
    text = SCENARIO.replace("ENDPOINT", endpoint)
    for key, value in changes.items():
        lines = [
            f"{key}: {value}" if line.startswith(f"{key}:") else line for line in text.splitlines()
        ]
        text = "\n".join(lines) + "\n"
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


def benchsuite(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchsuite", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@contextmanager
def started(*arguments: object, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchsuite", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def when_recording(folder: Path, name: str = "0.arrows") -> None:
    """Return once records of that worker have reached the disk."""
    spool = folder / "spool" / name
    deadline_s = time.monotonic() + 60
    while not (spool.exists() and spool.stat().st_size > 8_000):
        assert time.monotonic() < deadline_s, "no record was written"
        time.sleep(0.05)
