"""`python -m reference_engine` as its own process: ready line, ways to stop, exit codes."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FAST = ["--preset", "tiny", "--executor", "roofline"]


@contextmanager
def started(*flags: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "reference_engine", *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_says_where_it_listens_and_stops_on_sigterm(tmp_path: Path) -> None:
    """One JSON line once it answers; flags go before the file; SIGTERM is a clean end."""
    path = tmp_path / "engine.json"
    path.write_text(json.dumps({"model": "15m", "executor": {"type": "roofline"}}))
    with started("--config", str(path), "--model-name", "mine", "--policy", "colocated") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["model"] == "mine"
        with urllib.request.urlopen(f"{ready['url']}/v1/models", timeout=10) as response:
            assert json.load(response)["data"][0]["id"] == "mine"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_logs_what_it_emits(tmp_path: Path) -> None:
    """On the clock of this machine, whole when the server has ended."""
    path = tmp_path / "emit.jsonl"
    with started(*FAST, "--emit-log", str(path)) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        asked_s = time.monotonic()
        body = {"prompt": "x", "max_tokens": 3, "request_id": "mine", "ignore_eos": True}
        request = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["usage"]["completion_tokens"] == 3
        answered_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["request"] == "mine"
    assert sum(line.get("emitted") == [0] for line in lines) == 3
    assert all(asked_s < line["at_s"] < answered_s for line in lines)


def test_a_second_signal_does_not_wait_for_open_requests(tmp_path: Path) -> None:
    """The first lets them end, however long they take; whoever signals again is obeyed."""
    path = tmp_path / "engine.json"
    slow = {"type": "roofline", "overhead_s": 0.5}
    path.write_text(json.dumps({"executor": slow, "timeouts": {"drain_s": 600}}))
    with started("--config", str(path)) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        body = {"prompt": "abc", "max_tokens": 1000, "ignore_eos": True, "stream": True}
        request = urllib.request.Request(
            f"{ready['url']}/v1/completions", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            response.readline()
            process.send_signal(signal.SIGTERM)
            response.readline()
            for _ in range(2):
                assert response.readline().startswith((b"data: {", b"\n"))
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == -signal.SIGTERM


def test_it_ends_with_its_parent() -> None:
    """End of standard input is the parent's death: nothing is left behind."""
    with started(*FAST, "--exit-with-parent") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--config", "/nowhere/engine.json"], 2, "/nowhere/engine.json: No such file"),
        (["--tokenizer", "/nowhere/tokenizer.json"], 2, "/nowhere/tokenizer.json: No such file"),
        (["--policy", "wishful"], 2, "'wishful'"),
        (["--host", "203.0.113.1"], 3, "cannot listen on 203.0.113.1:0"),
        (["--port", "99999"], 3, "cannot listen on 127.0.0.1:99999: there is no such port"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(flags: list[str], code: int, says: str) -> None:
    """A user's mistake is one sentence and an exit code, never a traceback."""
    with started(*FAST, *flags) as process:
        output, words = process.communicate(timeout=20)
    assert (process.returncode, output) == (code, "")
    assert says in words
    assert len(words.splitlines()) == 1


def test_a_taken_port_is_told_in_one_line() -> None:
    """Exit code 3 and the address, before anything is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(*FAST, "--port", str(port)) as process:
            _, words = process.communicate(timeout=20)
    assert process.returncode == 3
    assert words.startswith(f"reference_engine: cannot listen on 127.0.0.1:{port}: Address already")
