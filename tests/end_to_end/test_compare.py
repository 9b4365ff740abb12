"""`benchsuite compare` over real run folders, simulated ones, and peers' files."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchsuite import cli, runner
from benchsuite.comparison.sides import grouped
from benchsuite.errors import BenchsuiteError, ScenarioError
from benchsuite.scenario import load

SCENARIO = """\
name: simulated
seed: 1
endpoint:
  type: in_process
  engine: {model: llama-3-8b, executor: {type: roofline, device: h200}}
workload:
  type: synthetic
  prompt_tokens: {type: uniform, low: 64, high: 512}
  output_tokens: {type: uniform, low: 4, high: 24}
arrivals: {type: poisson, rate: 40}
limits: {requests: 120}
slo: {default: {ttft: 500ms, tpot: 50ms}}
"""
SLOWER = (
    "endpoint.engine.executor.bandwidth_efficiency=0.8",
    "endpoint.engine.executor.flops_efficiency=0.8",
)
PEERS = Path(__file__).parents[1] / "data" / "imports"


def compared(*words: object) -> tuple[int, str]:
    """Exit code and output; a user's mistake is raised."""
    found = CliRunner().invoke(cli.app, ["compare", *map(str, words)])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs a side: `a`; `same`, of other seeds; `slow`, of a's seeds on less of a device."""
    root = tmp_path_factory.mktemp("compared")
    path = root / "scenario.yaml"
    path.write_text(SCENARIO)
    for name, first, overrides in (("a", 1, ()), ("same", 11, ()), ("slow", 1, SLOWER)):
        for seed in range(first, first + 5):
            scenario = load(path, (f"seed={seed}", *overrides))
            runner.run(scenario, root / name / str(seed), console=Console(quiet=True))
    return root


def test_nothing_is_found_where_nothing_changed(runs: Path) -> None:
    """Other seeds of the same system; and the same runs on both sides."""
    for other in ("same", "a"):
        code, said = compared(runs / "a", runs / other, "--json", "--fail-on", "worse")
        told = json.loads(said)
        assert code == 0
        assert told["word"] in ("equivalent", "inconclusive")
        assert not told["is_forced"]


def test_a_fifth_less_of_the_device_is_found(runs: Path, tmp_path: Path) -> None:
    """With five runs a side; listed first is what was changed; 98 where asked to fail."""
    page = tmp_path / "page.html"
    code, said = compared(runs / "a", runs / "slow", "--html", page, "--fail-on", "worse")
    assert code == 98
    assert "✗ Worse: ttft_p50" in said
    assert said.index("flops_efficiency") < said.index("✗ Worse")
    text = page.read_text()
    assert "shift-ttft-figure" in text
    assert "shift-itl-figure" in text
    assert "flops_efficiency" in text
    assert compared(runs / "slow", runs / "a", "--fail-on", "worse")[0] == 0


def test_one_run_a_side_says_how_many_it_would_take(runs: Path) -> None:
    code, said = compared(runs / "a/1", runs / "slow/1", "--json", "--fail-on", "worse")
    assert code == 0
    told = json.loads(said)
    (against,) = told["against"]
    assert against["word"] == "inconclusive"
    first = against["rows"][0]
    assert first["within_runs"][0] > 0  # these two runs differ, for what that is worth
    assert first["verdict"]["runs_needed"] >= 4


def test_sides_of_several_words_and_patterns(runs: Path) -> None:
    """`vs` stands between sides; a pattern is what the shell would have made of it."""
    names = [runs / "a" / str(seed) for seed in (1, 2, 3)]
    plain = json.loads(compared(*names, "vs", runs / "same", "--json")[1])
    assert (plain["against"][0]["num_baseline"], plain["against"][0]["num_now"]) == (3, 5)
    found = json.loads(compared(runs / "a" / "[123]", runs / "same", "--json")[1])
    assert found["against"][0]["rows"] == plain["against"][0]["rows"]


def test_another_question_is_refused_and_can_be_forced(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    other = tmp_path / "other"
    runner.run(load(path, ("arrivals.rate=20",)), other, console=Console(quiet=True))
    with pytest.raises(ScenarioError, match=r"(?s)arrivals.rate differs \(40.0.*--force") as caught:
        compared(runs / "a/1", other)
    assert caught.value.exit_code == 2
    code, said = compared(runs / "a/1", other, "--force")
    assert code == 0
    assert "another load makes other queues" in said


def test_a_result_without_records(runs: Path, tmp_path: Path) -> None:
    """Is enough for verdicts, and not for distributions."""
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(runs / "same/11/result.json", bare)
    told = json.loads(compared(runs / "a/1", bare / "result.json", "--json")[1])
    assert told["against"][0]["shifts"] == {}
    assert "without its records" in " ".join(told["against"][0]["notes"])


def test_a_peer_s_file_against_a_run(runs: Path, tmp_path: Path) -> None:
    """vLLM's format, made of a run's own records: latencies from sent, and equal."""
    exported = tmp_path / "vllm.json"
    words = ["export", str(runs / "a/1"), "--to", "vllm", "--out", str(exported)]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    told = json.loads(compared(runs / "a/1", exported, "--json")[1])
    rows = {row["verdict"]["metric"]: row["verdict"] for row in told["against"][0]["rows"]}
    assert rows["ttft_sent_p50"]["effect"] == pytest.approx(0.0, abs=1e-6)
    assert "ttft_p50" not in rows
    assert "attainment" not in rows
    assert [one["values"] for one in told["differences"] if one["key"] == "measured by"] == [
        ["benchsuite", "vLLM"]
    ]


@pytest.mark.parametrize("name", ["vllm.json", "aiperf.jsonl", "guidellm.json"])
def test_every_peer_s_file_is_read(name: str) -> None:
    """These hold failures and are refused; forced, they are inconclusive against themselves."""
    told = json.loads(compared(PEERS / name, PEERS / name, "--force", "--json")[1])
    assert told["word"] == "inconclusive"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("RUN",), "expected two sides"),
        (("RUN", "vs"), "expected two sides"),
        (("RUN", "nowhere"), "no such file"),
        (("RUN", "EMPTY"), "holds no result.json"),
        (("RUN", "TEXT"), "neither a run folder"),
        (("RUN", "BROKEN"), "not a result of benchsuite"),
        (("RUN", "RUN", "vs", "RUN"), "named twice"),
        (("RUN", "RUN", "--html", "EMPTY"), "--html .*/empty: Is a directory"),
        (("RUN", "RUN", "--metric", "tttf"), "no run has a metric 'tttf'"),
        (("RUN", "RUN", "--min-effect", "500%"), "--min-effect 500%: expected at least 0 %"),
        (("RUN", "RUN", "--min-effect", "much"), "'much' is no number"),
    ],
)
def test_mistakes_are_told(runs: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "result.json").write_text("{")
    paths = {
        "RUN": runs / "a/1",
        "EMPTY": tmp_path / "empty",
        "TEXT": tmp_path / "text",
        "BROKEN": tmp_path / "result.json",
    }
    with pytest.raises(BenchsuiteError, match=told):
        compared(*(paths.get(word, word) for word in words))


def test_a_gate_is_both_of_its_sides(runs: Path, tmp_path: Path) -> None:
    """Pair by pair; of a run that had to be made twice, the second."""
    made = tmp_path / "gate" / "chat" / "runs"
    for at in range(5):
        shutil.copytree(runs / f"a/{at + 1}", made / f"0{at}-baseline")
        shutil.copytree(runs / f"slow/{at + 1}", made / f"0{at}-now")
    (made / "03-now").rename(made / "03-now-again")
    shutil.copytree(runs / "same/11", made / "03-now")
    code, said = compared(tmp_path / "gate", "--json", "--fail-on", "worse")
    assert (code, json.loads(said)["against"][0]["is_paired"]) == (98, True)
    sides = grouped([str(made.parent)])
    assert sides == grouped([str(tmp_path / "gate")])
    assert [Path(run).name for run in sides[1]][2:4] == ["02-now", "03-now-again"]
    shutil.copytree(made.parent, tmp_path / "gate" / "code")
    with pytest.raises(ScenarioError, match="several scenarios; name one"):
        compared(tmp_path / "gate")
    with pytest.raises(ScenarioError, match="expected two sides"):
        compared(runs / "a")
