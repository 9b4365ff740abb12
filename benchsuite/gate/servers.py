"""A server under test, started by a command: waited for, its output kept, ended with its children.

A server that nobody started must not be measured by mistake: if something answers at the address
before the command runs, that is an error.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchsuite.endpoints import control
from benchsuite.errors import EndpointError

POLL_S: Final = 0.2
ASK_WITHIN_S: Final = 5.0
STOP_WITHIN_S: Final = 15.0
_TAIL_BYTES: Final = 2_000
_FAILING: Final = 500  # an HTTP status from here on: not ready yet


@contextmanager
def serving(command: str, ready_url: str, within_s: float, log_path: Path) -> Iterator[None]:
    """Run `command` in a shell until the block ends; enters once `ready_url` answers.

    Raises EndpointError if it ends before, or is not ready within `within_s`, or if something
    answered there already.
    """
    if _answers(ready_url, min(within_s, ASK_WITHIN_S)):
        raise EndpointError(f"{ready_url}: something answers there before the server was started")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to handle; and all that it starts ends with it
        )
        try:
            _wait(process, ready_url, within_s, log_path)
            yield
        finally:
            _stop(process)


def _wait(
    process: "subprocess.Popen[bytes]", ready_url: str, within_s: float, log_path: Path
) -> None:
    deadline_s = time.monotonic() + within_s
    while not _answers(ready_url, ASK_WITHIN_S):
        if process.poll() is not None:
            raise EndpointError(
                f"the server ended with exit code {process.returncode} before {ready_url} "
                f"answered; {log_path}:\n{_tail(log_path)}"
            )
        if time.monotonic() >= deadline_s:
            raise EndpointError(
                f"{ready_url}: not ready after {within_s:g} s; {log_path}:\n{_tail(log_path)}"
            )
        time.sleep(POLL_S)


def _answers(url: str, within_s: float) -> bool:
    context = ssl.create_default_context() if url.startswith("https:") else None
    try:
        return asyncio.run(control.get(url, {}, context, within_s)).status < _FAILING
    except (OSError, control.NotHttpError):
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the whole group to end, then make it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        deadline_s = time.monotonic() + STOP_WITHIN_S
        while _is_alive(process) and time.monotonic() < deadline_s:
            time.sleep(0.02)
    process.wait()


def _is_alive(process: "subprocess.Popen[bytes]") -> bool:
    """Whether anything of its group is left."""
    process.poll()  # reaps the shell
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _tail(path: Path) -> str:
    return path.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
