"""`init`: what it writes is a scenario that runs unchanged, and what it lacks it names."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchsuite import cli, draft
from benchsuite.errors import ScenarioError
from benchsuite.scenario import load
from tests.end_to_end.commands import benchsuite
from tests.scripted_server import Script, Step, answer, refused_url
from tests.servers import served

TOKENIZER = Path(draft.__file__).parent / "data" / "tokenizer.json.gz"
DATA = Path(__file__).parents[1] / "data"


def invoked(*words: object, command: str = "init") -> None:
    """A user's mistake is raised."""
    result = CliRunner().invoke(cli.app, [command, *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """The bundled server, with a context of its own, on the roofline's time."""
    command = [sys.executable, "-m", "reference_engine", "--executor", "roofline"]
    command += ["--tokenizer", str(TOKENIZER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield msgspec.json.decode(process.stdout.readline())["url"]
        process.terminate()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("chat", ("--rate", "4")),
        ("agents", ("--concurrency", "2")),
        ("rag", ("--rate", "4")),
        ("reasoning", ("--concurrency", "2")),
        ("reasoning", ("--rate", "4", "--data", DATA / "gsm8k.jsonl")),
        ("images", ("--rate", "2")),
        ("replay", ("--data", DATA / "mooncake.jsonl")),
        ("replay", ("--data", DATA / "sharegpt.jsonl", "--rate", "4")),
    ],
)
def test_what_is_written_runs_unchanged(
    engine: str, tmp_path: Path, kind: str, more: tuple[object, ...]
) -> None:
    path, out = tmp_path / "mine.yaml", tmp_path / "run"
    invoked(path, "--url", engine, "--kind", kind, "--duration", "2s", *more)
    invoked(path, command="check")
    ended = benchsuite("run", path, "--out", out)
    # A run this short on a busy machine may be called invalid; it must have been measured.
    assert ended.returncode in (0, 4), ended.stderr
    status = pq.read_table(out / "requests.parquet", columns=["status"])["status"].to_pylist()
    assert set(status) == {"ok"}


def test_lengths_are_in_what_the_server_counts(tmp_path: Path) -> None:
    """To a model of bytes a prompt is five times as long: it is shrunk, and the file says why."""
    listed = b'{"data": [{"id": "bytes", "max_model_len": 4096}]}'
    told = b'{"usage": {"prompt_tokens": %d}}' % (draft.SAMPLE_TOKENS * 5)
    steps = [
        (Step(answer("200 OK", body, "Content-Type: application/json")),) for body in (listed, told)
    ]
    path = tmp_path / "mine.yaml"
    with served(Script(steps[0], end="close"), Script(steps[1], end="close")) as server:
        invoked(path, "--url", server.url, *ASKED)
        sent = [one.path for one in server.requests]
    assert sent == ["/v1/models", "/v1/chat/completions"]
    assert "context of 4096 tokens,\n# of which the server counts 5.0" in path.read_text()
    workload = load(path).workload
    assert workload.prompt_tokens.max + workload.output_tokens.max <= 4096 / 5


def test_a_model_is_found_and_its_context_is_kept(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    invoked(path, "--url", engine, "--kind", "rag", "--rate", "1")
    [model] = draft.models_of(engine, None)
    found = load(path)
    assert model.max_model_len is not None
    assert f"context of {model.max_model_len} tokens" in path.read_text()
    assert getattr(found.endpoint, "model", None) == model.id


LISTS_TWO = answer(
    "200 OK", b'{"data": [{"id": "a"}, {"id": "b"}]}', "Content-Type: application/json"
)
ASKED = ("--kind", "chat", "--rate", "1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--url is missing"),
        (("--url", "URL", *ASKED), "the server lists a, b"),
        (("--url", "URL", *ASKED, "--model", "c"), "the server lists a, b"),
        (("--url", "URL", "--model", "a"), "--kind is missing"),
        (("--url", "URL", "--model", "a", "--kind", "chat"), "--rate or --concurrency is missing"),
        (("--url", "URL", "--model", "a", *ASKED, "--concurrency", "1"), "give one of them"),
        (("--url", "URL", "--model", "a", "--kind", "tea"), "expected one of chat"),
        (("--url", "URL", "--model", "a", "--kind", "replay"), "--data is missing"),
        (("--url", "URL", "--model", "a", "--kind", "replay", "--data", "no"), "no such file"),
        (("--url", "URL", "--model", "a", *ASKED, "--data", "no"), "only --kind replay"),
        (("--url", "URL", "--model", "a", *ASKED, "--ttft", "soon"), "expected a duration"),
        (("--url", "ftp://x", "--model", "a", *ASKED), "expected http://"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    path = tmp_path / "mine.yaml"
    with (
        served(Script((Step(LISTS_TWO),), end="close")) as server,
        pytest.raises(ScenarioError, match=told),
    ):
        invoked(path, *(server.url if word == "URL" else word for word in words))
    assert not path.exists()


def test_a_server_that_is_not_there_needs_the_name_of_a_model(tmp_path: Path) -> None:
    words = (tmp_path / "a.yaml", "--url", refused_url(), *ASKED)
    with pytest.raises(ScenarioError, match="--model is missing"):
        invoked(*words)
    invoked(*words, "--model", "mine", "--api-key-env", "NOT_SET_HERE")
    assert "${env:NOT_SET_HERE}" in words[0].read_text()
    with pytest.raises(ScenarioError, match="is there already"):
        invoked(*words, "--model", "mine")


def test_it_asks_in_a_terminal(tmp_path: Path) -> None:
    """Without options; an empty answer takes what is offered."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{refused_url()}\nmine\nagents\nc\n3\n\n2s\n\n".encode())
    path = tmp_path / "mine.yaml"
    command = [sys.executable, "-m", "benchsuite", "init", str(path)]
    ended = subprocess.run(command, stdin=theirs, capture_output=True, timeout=60, text=True)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 0, ended.stderr
    found = load(path)
    assert (found.name, found.slo["default"].ttft) == ("agents", 2.0)
    assert getattr(found.arrivals, "concurrency", None) == 3


@given(st.sampled_from(list(draft.OFFERS)), st.integers(1, 200_000))
def test_lengths_fit_the_context_or_are_refused(kind: draft.Kind, context: int) -> None:
    lengths = draft.OFFERS[kind].lengths
    try:
        fitting = lengths.within(context)
    except ScenarioError:
        assert context < 300
        return
    assert fitting.most <= context
    assert fitting.prompt < fitting.prompt_p99
    assert fitting.output < fitting.output_p99


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("benchsuite list metr", "metrics"),
        ("benchsuite convert x --from moon", "mooncake"),
        ("benchsuite recompute x --as vl", "vllm"),
        ("benchsuite export x --to tr", "trace"),
        ("benchsuite init --kind age", "agents"),
        ("benchsuite run scenarios/chat-p", "scenarios/chat-poisson.yaml"),
    ],
)
def test_the_shell_completes_names(words: str, offered: str) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    code = "import sys; sys.argv[0] = 'benchsuite'; from benchsuite.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked, "_BENCHSUITE_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert offered in ended.stdout.split(), ended
