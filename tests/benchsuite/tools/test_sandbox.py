"""Code that misbehaves hurts itself alone."""

import sys
from pathlib import Path

import pytest

from benchsuite.tools.sandbox import TIMED_OUT, SandboxLimits, run_python


def test_what_is_printed_is_the_answer() -> None:
    """Output and errors; nothing printed is an empty answer, which is a finding of its own."""
    assert run_python("print(6 * 7)") == ("42\n", None, 0)
    assert run_python("6 * 7").output == ""
    broken = run_python("1 / 0")
    assert broken.exit_code == 1
    assert broken.output.endswith("ZeroDivisionError: division by zero\n")


def test_an_endless_loop_ends() -> None:
    """By wall time where it sleeps; it says so."""
    found = run_python("import time; time.sleep(60)", SandboxLimits(timeout_s=0.0))
    assert found.exit_code == TIMED_OUT
    assert "ended after" in found.output


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS means nothing elsewhere")
def test_memory_and_output_have_an_end() -> None:
    """A full memory is the code's own error; too much output ends it, and is cut."""
    limits = SandboxLimits(memory_bytes=256 * 1024 * 1024, output_bytes=1000)
    assert "MemoryError" in run_python("x = bytearray(10**9)", limits).output
    flood = run_python("while True: print('x' * 100)", limits)
    assert flood.exit_code != 0
    assert len(flood.output) <= 1000


def test_it_runs_in_an_empty_folder_without_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No key of ours is there to be read; what it writes is gone afterwards."""
    monkeypatch.setenv("LLM_API_KEY", "secret")
    code = "import os; print(os.getcwd()); print('LLM_API_KEY' in os.environ); open('f', 'w')"
    folder, has_key = run_python(code).output.split()
    assert has_key == "False"
    assert not Path(folder).exists()


def test_what_it_started_is_ended_with_it(tmp_path: Path) -> None:
    """A child that would go on writing does not."""
    beat = tmp_path / "beat"
    child = f"while True: open({str(beat)!r}, 'a').write('x')"
    code = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        f"while not os.path.exists({str(beat)!r}): pass"
    )
    assert run_python(code).exit_code == 0
    size = beat.stat().st_size
    assert run_python("import time; time.sleep(0.05)").exit_code == 0
    assert beat.stat().st_size == size
