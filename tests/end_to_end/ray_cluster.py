"""Processes of Ray clusters that tests start, found and ended by the cluster's own token."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STARTED = b"Ray runtime started."


def environment() -> dict[str, str]:
    """For a cluster with a token of its own, which all its processes inherit."""
    token = secrets.token_hex(16)
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}


def processes(environment: dict[str, str], name: bytes = b"") -> list[int]:
    """Those that run with the token, and whose command line begins with `name`."""
    wanted = f"RAY_AUTH_TOKEN={environment['RAY_AUTH_TOKEN']}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            has_token = wanted in (folder / "environ").read_bytes().split(b"\0")
            if has_token and (folder / "cmdline").read_bytes().startswith(name):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended, or is none of ours
    return found


def when_gone(environment: dict[str, str]) -> None:
    """Return once no process of the cluster is left."""
    deadline_s = time.monotonic() + 30
    while left := processes(environment):
        assert time.monotonic() < deadline_s, f"left running: {left}"
        time.sleep(0.1)


def when_written(folder: Path, name: str) -> None:
    """Return once a worker on a node whose TMPDIR is `folder` has records on its disk."""
    deadline_s = time.monotonic() + 60
    while not any(path.stat().st_size > 8_000 for path in folder.glob(f"*/spool/{name}")):
        assert time.monotonic() < deadline_s, "no record was written"
        time.sleep(0.05)


@contextmanager
def node(
    folder: Path, *options: str, environment: dict[str, str], within: Sequence[str] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """`ray start` until the block ends, with what it started. `within`: the command before it."""
    script = Path(sys.executable).parent / "ray"
    small = ("--num-cpus=1", "--object-store-memory=80000000", "--block")
    log = folder / f"node-{secrets.token_hex(4)}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*within, str(script), "start", *options, *small],
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + 60
        while STARTED not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """A whole node at once, as if it had lost its power."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # killed before
    process.wait()
