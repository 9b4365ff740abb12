"""Python in a process of its own, with limits on time, memory, files and output.

It keeps a model's accidents (endless loops, full memories, megabytes of output) from the machine
and from the measurement. It is no jail: the code runs as this user, can read what this user can
and reach the network. Do not let it run what somebody hostile has written.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchsuite.tools.base import Outcome

TIMED_OUT: Final = 124  # as timeout(1) says it
_START_S: Final = 0.5  # allowed on top, for starting up

# Limits are set by the process itself, before it looks at the code: nothing has to run between
# fork and exec, where threads make that unsafe.
_BOOT: Final = """\
import resource, sys
def limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
limit(resource.RLIMIT_CPU, {cpu_s})
limit(resource.RLIMIT_CORE, 0)
limit(resource.RLIMIT_FSIZE, {file_bytes})
limit(resource.RLIMIT_NOFILE, 64)
if sys.platform == "linux":
    limit(resource.RLIMIT_AS, {memory_bytes})
code = compile(sys.stdin.read(), "<code>", "exec")
exec(code, {{"__name__": "__main__"}})
"""


class SandboxLimits(NamedTuple):
    """What a piece of code may use."""

    timeout_s: float = 10.0  # wall time; CPU time is rounded up to whole seconds
    memory_bytes: int = 512 * 1024 * 1024
    output_bytes: int = 64 * 1024  # more is cut off, and the process with it


USUAL_LIMITS: Final = SandboxLimits()


def run_python(code: str, limits: SandboxLimits = USUAL_LIMITS) -> Outcome:
    """What `code` prints, errors included, and its exit code.

    It runs in an empty folder that is gone afterwards, without this process's environment and
    without standing packages' start-up files, and with everything that it started it is ended.
    """
    boot = _BOOT.format(
        cpu_s=int(limits.timeout_s) + 1,
        file_bytes=limits.output_bytes,
        memory_bytes=limits.memory_bytes,
    )
    with tempfile.TemporaryDirectory(prefix="benchsuite-") as folder:
        source, output = Path(folder) / ".code", Path(folder) / ".output"
        source.write_text(code, encoding="utf-8", errors="surrogateescape")
        with source.open("rb") as stdin, output.open("wb") as stdout:
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-X", "utf8", "-c", boot],
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder},
                start_new_session=True,
            )
            exit_code = _wait(process, limits.timeout_s + _START_S)
        text = output.read_bytes()[: limits.output_bytes].decode("utf-8", "replace")
    if exit_code == TIMED_OUT:
        text += f"\nended after {limits.timeout_s:g} s"
    return Outcome(text, None, exit_code)


def _wait(process: "subprocess.Popen[bytes]", timeout_s: float) -> int:
    """The exit code; whatever is left of its session is ended."""
    try:
        exit_code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        exit_code = TIMED_OUT
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return exit_code  # nothing was left
    process.wait()
    return exit_code
