"""`benchsuite fit`: from a trace to a table and a scenario that runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchsuite.arrivals import Poisson, Timestamps
from benchsuite.cli import app
from benchsuite.errors import ScenarioError
from benchsuite.fitting import reading, scenarios
from benchsuite.fitting.sample import Sample, sample
from benchsuite.request import Message, Request, Scripted, Session
from benchsuite.scenario import load
from benchsuite.streams import rng
from benchsuite.workloads import Mix, Resampled, Synthetic, Trace
from benchsuite.workloads.lengths import Empirical

ROOT = Path(__file__).parents[3]
CODE = ROOT / "scenarios" / "data" / "azure_2023_code_5min.csv.gz"
CONV = ROOT / "scenarios" / "data" / "azure_2023_conv_5min.csv.gz"


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["fit", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def session(index: int, at_s: float | None, tokens: int = 9, slo_class: str = "default") -> Session:
    prompt = Scripted((Message("user", "hm"),), tokens)
    return Session(
        index, (Request(index, prompt, tokens, 2 * tokens, slo_class=slo_class),), start_s=at_s
    )


def drawn(num: int = 400) -> list[Session]:
    """Two classes whose lengths go up together."""
    at_s = Poisson(rate=5).due_times(num, rng(1, "at"), None).tolist()
    tokens = rng(1, "tokens").integers(1, 500, num).tolist()
    return [
        session(i, at, n, "chat" if i % 4 else "batch")
        for i, (at, n) in enumerate(zip(at_s, tokens, strict=True))
    ]


@pytest.fixture(scope="module")
def code() -> dict:
    return json.loads(run(str(CODE), "--json"))


def test_the_code_trace_is_far_from_poisson(code: dict) -> None:
    """A slice of Azure's code trace: every clumped family beats Poisson by far, and none of them
    reaches the dispersion over a minute that was recorded."""
    assert code["num_sessions"] == 1116
    by_name = {fit["family"]: fit for fit in code["fits"]}
    assert set(by_name) == {"poisson", "gamma", "weibull", "mmpp", "hawkes"}
    poisson = by_name.pop("poisson")
    for fit in by_name.values():
        assert fit["aic"] < poisson["aic"] - 500
        assert fit["ks"] < poisson["ks"]
        assert fit["pce"] < poisson["pce"]
    assert code["gap_cv"] > 2
    assert code["fano"]["1s"] > 5
    assert code["fano"]["60s"] is None, "five windows say nothing"
    assert code["fits"][0]["arrivals"]["type"] == code["fits"][0]["family"]


def test_a_scenario_comes_out_that_loads(tmp_path: Path) -> None:
    """The likeliest arrivals, lengths with their rank correlation, a header that says what it is;
    only what differs from the defaults is written."""
    path = tmp_path / "like-chat.yaml"
    text = run(str(CONV), "--out", str(path))
    assert "rank correlation" in text
    scenario = load(path)
    assert scenario.name == "like-chat"
    assert isinstance(scenario.workload, Synthetic)
    assert isinstance(scenario.workload.prompt_tokens, Empirical)
    written = path.read_text()
    assert written.startswith(
        "# Does the service keep up with traffic like that of azure_2023_conv"
    )
    assert "validity" not in written
    assert scenario.arrivals.rate == pytest.approx(1556 / 299.9, rel=0.01)  # type: ignore[union-attr]


def test_a_family_and_pairs_of_lengths_can_be_asked_for(tmp_path: Path) -> None:
    """Lengths are then drawn from the trace's rows; an unknown family is the user's mistake."""
    path = tmp_path / "pairs.yaml"
    run(str(CONV), "--out", str(path), "--family", "poisson", "--pairs")
    scenario = load(path)
    assert isinstance(scenario.arrivals, Poisson)
    assert isinstance(scenario.workload, Resampled)
    with pytest.raises(ScenarioError, match=r"--family zipf: unknown \(known: gamma, hawkes"):
        run(str(CONV), "--out", str(path), "--family", "zipf")


def test_a_scenario_s_own_trace_can_be_fitted(tmp_path: Path) -> None:
    """Its slice, its scales and its server; a --set reaches it."""
    asked = reading.read(ROOT / "scenarios" / "trace-azure-code.yaml", None, ("seed=9",))
    assert isinstance(asked.workload, Trace)
    assert asked.seed == 9
    assert asked.workload.slice.duration == 50
    with pytest.raises(ScenarioError, match="--set"):
        reading.read(CODE, None, ("seed=9",))


def test_the_format_is_the_one_that_reads_the_file(tmp_path: Path) -> None:
    """Found by its first rows, or named; where none reads it the known ones are told."""
    found = reading.read(ROOT / "tests" / "data" / "mooncake.jsonl", None, ())
    assert isinstance(found.workload, Trace)
    assert type(found.workload.source).__name__ == "Mooncake"
    other = tmp_path / "other.txt"
    other.write_text("hello\n")
    with pytest.raises(ScenarioError, match=r"no format reads it \(.*azure.*--from"):
        reading.read(other, None, ())
    with pytest.raises(ScenarioError, match="--from zip: unknown"):
        reading.read(other, "zip", ())


def classes() -> Sample:
    return sample(drawn(), None, 1)


def test_classes_become_parts_of_a_mix() -> None:
    """With the share that each has, and each its own lengths; tied as the sample's are."""
    found = classes()
    assert found.events.names == ("batch", "chat")
    made = scenarios.scenario(
        found, Poisson(rate=5), name="x", endpoint=reading._SERVER, source=None
    )
    assert isinstance(made.workload, Mix)
    assert {name: part.weight for name, part in made.workload.parts.items()} == {
        "batch": 100,
        "chat": 300,
    }
    chat = made.workload.parts["chat"].workload
    assert isinstance(chat, Synthetic)
    assert chat.rank_correlation == scenarios.LARGEST, "they are one and the same up to a factor"


def test_times_of_a_coarse_clock_are_spread_and_it_is_said() -> None:
    """Gaps of 0 do not reach a likelihood; a clock's step is found, or given."""
    coarse = [session(i, i // 4 * 1.0) for i in range(400)]
    found = sample(coarse, None, 1)
    assert np.all(found.events.gaps_s > 0)
    assert "spread evenly within steps of 1 s" in found.notes[0]
    few = [session(i, 0.7 * (i - (i == 7))) for i in range(100)]
    found = sample(few, None, 1)
    assert found.notes == ("1 gaps of 0 s became 0.35 s, half of the shortest other",)
    assert np.all(found.events.gaps_s > 0)


@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        ([session(i, float(i)) for i in range(10)], "at least 50 sessions with recorded times"),
        ([session(i, None) for i in range(99)], "with recorded times"),
        ([session(i, 3.0) for i in range(99)], "all sessions came at one time"),
    ],
)
def test_what_says_nothing_is_refused(sessions: list[Session], message: str) -> None:
    """Too few, without times, or all at once."""
    with pytest.raises(ScenarioError, match=message):
        sample(sessions, 0.0, 1)


def test_the_quantum_is_the_timestamps_own() -> None:
    """Fitting spreads as a replay does."""
    coarse = [session(i, i // 4 * 1.0) for i in range(400)]
    recorded_s = np.array([one.start_s for one in coarse])
    spread_s = Timestamps(quantum=1).due_times(400, rng(1, "spread"), recorded_s)
    np.testing.assert_allclose(sample(coarse, 1.0, 1).events.at_s, spread_s - spread_s[0])
