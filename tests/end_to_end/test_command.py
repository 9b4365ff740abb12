"""The command as a user meets it: whole runs over real sockets, and what can go wrong."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchsuite.results.result import RunResult
from tests.end_to_end.commands import benchsuite, scenario, started, when_recording
from tests.scripted_server import FAULTS, OK_STREAM, refused_url
from tests.servers import served

OUTSIDE = "ttft_outside_server"
FILES = {
    "scenario.yaml",
    "result.json",
    "requests.parquet",
    "requests.csv",
    "summary.csv",
    "concurrency.csv",
    "report.html",
    "facts.json",
    "telemetry.parquet",
}


def openai_chat(url: str) -> str:
    return f'{{type: openai_chat, url: "{url}", model: m, ready_within: 1s}}'


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, made over real sockets by the bundled engine in its own process."""
    folder = tmp_path_factory.mktemp("finished")
    done = benchsuite("run", scenario(folder), "--out", folder / "run")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder / "run"


def test_a_run_leaves_its_folder(finished: Path) -> None:
    """Every file that is promised, and a verdict with counts and summaries."""
    assert {path.name for path in finished.iterdir()} >= FILES
    assert RunResult.load(finished).command.startswith("python -m benchsuite run ")
    result = json.loads((finished / "result.json").read_text())
    assert result["verdict"] == "valid"
    assert result["requests"]["planned"] == result["requests"]["sent"] == 40
    assert result["requests"]["ok"] == 40
    for name in ("ttft", "ttfo", "tpot", "itl", "icl", "e2e_latency", "request_rate", "good_rate"):
        assert {"unit", "n", "mean", "p50", "p90", "p99"} <= set(result["summaries"][name])
    # A token whose text is held back (an incomplete character) comes with the next one.
    assert 40 * 5 < result["summaries"]["itl"]["n"] <= 40 * 7
    assert not list(finished.glob("spool*"))


def test_tokens_are_the_servers(finished: Path) -> None:
    """Output tokens are as asked, by the server's own usage."""
    table = pq.read_table(finished / "requests.parquet")
    assert set(table["output_tokens"].to_pylist()) == {8}
    assert set(table["tokens_from"].to_pylist()) == {"usage"}
    assert set(table["finish_reason"].to_pylist()) == {"length"}


def test_the_engine_stops_with_the_run(finished: Path) -> None:
    """Nobody listens any more where the engine was."""
    table = pq.read_table(finished / "requests.parquet")
    assert table.num_rows == 40
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(finished / "engine.json") not in running


def test_the_servers_own_view_stands_beside_the_clients(finished: Path) -> None:
    """The engine's /metrics were read: both sides counted the same tokens, and its first tokens
    came no later than the client saw them."""
    result = RunResult.load(finished)
    told = {check.name: check for check in result.checks}
    assert told["server_tokens"].ok, told["server_tokens"].sentence
    assert told["server_tokens"].value == 0.0
    theirs, outside = (result.summaries[name].mean for name in ("server_ttft", OUTSIDE))
    assert theirs is not None
    assert outside is not None
    assert theirs > 0
    assert outside > 0


def test_report_makes_everything_derived_again(finished: Path, tmp_path: Path) -> None:
    """From the records alone the same result comes out again."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("scenario.yaml", "facts.json", "requests.parquet", "telemetry.parquet"):
        (folder / name).write_bytes((finished / name).read_bytes())
    done = benchsuite("report", folder)
    assert done.returncode == 0, done.stderr
    assert RunResult.load(folder) == RunResult.load(finished)
    assert (folder / "report.html").exists()
    assert (folder / "summary.csv").read_text() == (finished / "summary.csv").read_text()


def test_the_resolved_scenario_runs_again(finished: Path) -> None:
    """What is written to the run folder is a scenario that passes its own check."""
    assert benchsuite("check", finished / "scenario.yaml").returncode == 0


def test_a_run_never_overwrites_another(finished: Path, tmp_path: Path) -> None:
    """A folder that holds something is refused."""
    done = benchsuite("run", scenario(tmp_path), "--out", finished)
    assert done.returncode == 2
    assert "not empty" in done.stderr


def test_a_typo_is_answered_with_its_place_and_what_was_meant(tmp_path: Path) -> None:
    path = scenario(tmp_path, arrivals="{type: gamma, rate: 8, burstines: 0.5}")
    done = benchsuite("run", path, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert f"{path}:9:" in done.stderr
    assert "arrivals.burstines" in done.stderr
    assert "did you mean 'burstiness'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_file(tmp_path: Path) -> None:
    done = benchsuite("run", tmp_path / "no.yaml")
    assert done.returncode == 2
    assert "no such file" in done.stderr


def test_a_dead_endpoint(tmp_path: Path) -> None:
    """Nobody listens: exit 3, the url named."""
    url = refused_url()
    done = benchsuite("run", scenario(tmp_path, openai_chat(url)), "--out", tmp_path / "run")
    assert done.returncode == 3
    assert url in done.stderr


def test_an_engine_that_cannot_start(tmp_path: Path) -> None:
    """The engine's own words are passed on."""
    endpoint = "{type: reference_engine, engine: {model: no-such-model}}"
    done = benchsuite("run", scenario(tmp_path, endpoint), "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "endpoint.engine: " in done.stderr
    assert "no-such-model" in done.stderr


def test_a_simulated_engine_that_cannot_be(tmp_path: Path) -> None:
    """On virtual time too a wrong engine is a wrong scenario, told in one line."""
    endpoint = (
        "{type: in_process, engine: {model: 8b, max_model_len: 99999, executor: {type: roofline}}}"
    )
    done = benchsuite("run", scenario(tmp_path, endpoint), "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "endpoint.engine: max_model_len 99999" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_dies_mid_stream(tmp_path: Path) -> None:
    """Broken answers are records with their own class; the run says that it cannot be used."""
    with served(OK_STREAM, FAULTS["reset_mid_stream"].script) as server:
        path = scenario(tmp_path, openai_chat(server.url))
        done = benchsuite("run", path, "--out", tmp_path / "run")
    assert done.returncode == 4
    result = RunResult.load(tmp_path / "run")
    assert result.verdict == "invalid"
    assert result.requests.ok == 0 or result.requests.ok == 1
    assert result.errors["reset"] == result.requests.error
    assert result.requests.sent == 40
    assert "INVALID" in done.stdout.splitlines()[0]


def test_a_refused_key_is_said_before_the_run(tmp_path: Path) -> None:
    from tests.scripted_server import Script, Step, answer

    with served(Script((Step(answer("401 Unauthorized", b"no")),))) as server:
        done = benchsuite(
            "run", scenario(tmp_path, openai_chat(server.url)), "--out", tmp_path / "r"
        )
    assert done.returncode == 3
    assert "key was refused" in done.stderr


def test_a_secret_stays_out_of_everything_written(tmp_path: Path) -> None:
    """The key goes to the server and nowhere else; the scenario keeps its name."""
    key = "sk-canary-0123456789"
    with served(OK_STREAM) as server:
        endpoint = openai_chat(server.url).replace("model: m", "model: m, api_key: '${env:KEY}'")
        path = scenario(tmp_path, endpoint)
        done = benchsuite("run", path, "--out", tmp_path / "run", KEY=key)
        assert server.requests[-1].headers["authorization"] == f"Bearer {key}"
    assert "${env:KEY}" in (tmp_path / "run" / "scenario.yaml").read_text()
    assert key not in done.stdout + done.stderr
    for path in (tmp_path / "run").iterdir():
        assert key.encode() not in path.read_bytes(), path.name


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    endpoint = openai_chat("http://127.0.0.1:1").replace(
        "model: m", "model: m, api_key: '${env:NO}'"
    )
    done = benchsuite("run", scenario(tmp_path, endpoint), "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "environment variable NO is not set" in done.stderr


LONG = {"arrivals": "{type: poisson, rate: 100}", "limits": "{requests: 1000}"}


def test_a_killed_run_is_recovered(tmp_path: Path) -> None:
    """After kill -9, all that reached the disk comes back, marked as partial."""
    folder = tmp_path / "run"
    with started("run", scenario(tmp_path, **LONG), "--out", folder) as process:
        when_recording(folder)
        process.kill()
        process.wait()
    done = benchsuite("recover", folder)
    assert done.returncode == 0, done.stderr
    result = RunResult.load(folder)
    assert result.verdict == "invalid"
    assert result.partial is not None
    assert result.requests.planned == 1000
    assert result.requests.ok > 10
    assert (folder / "report.html").exists()


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """One interrupt: nothing more is sent, answers under way are kept, exit 130."""
    folder = tmp_path / "run"
    with started("run", scenario(tmp_path, **LONG), "--out", folder) as process:
        when_recording(folder)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    result = RunResult.load(folder)
    assert result.partial == "interrupted"
    assert 0 < result.requests.sent < 1000
    assert result.requests.ok == result.requests.sent


def test_a_full_disk_stops_the_run_and_keeps_its_records(tmp_path: Path) -> None:
    """When records cannot be written the run ends at once, says so, and can be recovered."""
    folder = tmp_path / "run"
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000));"
        "from benchsuite.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "run", scenario(tmp_path, **LONG), "--out", folder],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 5
    assert "benchsuite recover" in done.stderr
    recovered = benchsuite("recover", folder)
    assert recovered.returncode == 0, recovered.stderr
    assert RunResult.load(folder).requests.ok > 0


def test_list_knows_every_kind() -> None:
    """The catalogue for programs names what a scenario may choose, with a line on each."""
    found = json.loads(benchsuite("list", "--json").stdout)
    assert {"poisson", "closed_loop"} <= {entry["name"] for entry in found["arrivals"]}
    assert {"ttft", "itl"} <= {entry["name"] for entry in found["metrics"]}
    assert all(entry["title"] for entries in found.values() for entry in entries)


def test_the_schema_is_one() -> None:
    """Editors get a JSON Schema with the scenario's keys."""
    schema = json.loads(benchsuite("schema").stdout)
    assert "workload" in json.dumps(schema)


def test_help_imports_nothing_heavy() -> None:
    """`benchsuite --help` loads neither torch nor pandas, plotly, pyarrow, numpy or aiohttp."""
    script = (
        "import sys; sys.argv = ['benchsuite', '--help']\n"
        "from benchsuite.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'datasets', 'pandas', 'plotly', 'pyarrow', 'numpy', 'aiohttp'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert "run" in done.stdout


def test_ctrl_c_before_anything_was_sent(tmp_path: Path) -> None:
    """There is nothing to keep: exit 130, in words, and no folder that is in the way."""
    folder = tmp_path / "run"
    late = {"arrivals": "{type: poisson, rate: 1.0e-4}", "limits": "{requests: 1}"}
    with started("run", scenario(tmp_path, **late), "--out", folder) as process:
        deadline_s = time.monotonic() + 60
        while not (folder / "spool" / "0.arrows").exists():
            assert time.monotonic() < deadline_s, "the run did not begin"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "interrupted before any request was recorded" in words
    assert not folder.exists()


def test_a_terminal_without_unicode(finished: Path) -> None:
    """What it cannot show is replaced; the verdict is there."""
    done = benchsuite("report", finished, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("? valid: end-to-end")


def test_a_fault_of_our_own_has_its_own_exit_code() -> None:
    """What nobody foresaw ends with a traceback and 5, told apart from every other end."""
    script = (
        "import sys; sys.argv = ['benchsuite', 'schema']\n"
        "from benchsuite import cli, scenario\n"
        "def broken(): raise RuntimeError('unforeseen')\n"
        "scenario.json_schema = broken\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 5
    assert "RuntimeError: unforeseen" in done.stderr
