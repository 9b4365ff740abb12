"""Client pools: counts left to chance, burstiness kept, lengths not tied unless asked."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchsuite.errors import BenchsuiteError
from benchsuite.request import Session
from benchsuite.workloads import ServeGen, Trace, tokenizer
from benchsuite.workloads.formats import ClientPool, client_pool
from benchsuite.workloads.formats.client_pool import Window

POOL = Path(__file__).parents[2] / "data" / "servegen_reason.jsonl"
TOKENIZER = tokenizer.load("bundled")
DAY_S = 86_400.0


def pool(path: Path, *clients: dict) -> str:
    path.write_text("\n".join(json.dumps(client) for client in clients))
    return str(path)


def client(
    name: int = 0,
    windows: tuple[tuple, ...] = (("0", "5", "2", "Gamma", "0.25", "9"),),
    prompts: str = "{100: 0.5, 200: 0.5}",
    outputs: str = "{10: 0.5, 20: 0.5}",
) -> dict:
    dataset = {"0": {"input_tokens": prompts, "output_tokens": outputs}}
    return {"client": name, "trace": windows, "dataset": dataset}


def drawn(path: str, seed: int = 1, **more: float) -> list[Session]:
    return list(ServeGen(path=path, **{"duration": DAY_S, **more}).sessions(TOKENIZER, seed))


def test_a_real_pool_is_played() -> None:
    """As many as its rates say, up to chance; each client in its windows, lengths of its tables."""
    sessions = drawn(str(POOL))
    clients = client_pool.read(str(POOL))
    assert len(clients) == 2
    expected = sum(window.rate * 600 for one in clients for window in one.windows)
    assert expected == pytest.approx(325)
    assert len(sessions) == pytest.approx(expected, rel=0.3)
    starts = [session.start_s or 0.0 for session in sessions]
    assert all(one <= other for one, other in pairwise(starts))
    for one in clients:
        own = [s for s in sessions if s.requests[0].tenant == one.name]
        busy = [(w.start_s, w.start_s + 600) for w in one.windows if w.rate]
        assert all(any(a <= (s.start_s or 0) < b for a, b in busy) for s in own)
        prompts = {s.requests[0].prompt_tokens for s in own}
        assert prompts <= set(one.sizes_at(own[0].start_s or 0)["input_tokens"].values.astype(int))
    assert ServeGen(path=str(POOL), duration=9).notes() == (
        "reason_ratio of the pool is not asked of the server",
    )


def test_a_pool_as_rows_is_the_workload() -> None:
    """Times, lengths and clients of one seed, replayed as a trace or asked by the workload."""
    rows = Trace(source=ClientPool(path=str(POOL), duration=DAY_S, seed=3))

    def asked(sessions: Iterable[Session]) -> list[tuple[object, ...]]:
        (first, *_) = found = list(sessions)
        return [
            (
                pytest.approx((session.start_s or 0.0) - (first.start_s or 0.0)),
                session.requests[0].prompt_tokens,
                session.requests[0].max_output_tokens,
                session.requests[0].tenant,
            )
            for session in found
        ]

    assert asked(rows.sessions(TOKENIZER, 1)) == asked(drawn(str(POOL), seed=3))


def test_counts_vary_as_the_burstiness_says(tmp_path: Path) -> None:
    """Gaps with variation 2: counts of long windows have a Fano factor near 4 (renewal theory); a
    generator that fills each window exactly has 0. The mean rate stays, though windows cut."""
    windows = tuple((str(600 * i), "5", "2", "Gamma", "0.25", "9") for i in range(40))
    sessions = drawn(pool(tmp_path / "pool.jsonl", client(windows=windows)), duration=24_000)
    at_s = np.array([session.start_s for session in sessions])
    counts, _ = np.histogram(at_s, np.arange(0, 24_001, 100))
    assert counts.mean() == pytest.approx(500, rel=0.03)
    assert counts.var() / counts.mean() == pytest.approx(4, rel=0.4)
    gaps_s = np.diff(at_s)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("family", client_pool.FAMILIES)
def test_short_windows_of_bursty_clients_keep_their_rate(tmp_path: Path, family: str) -> None:
    """To begin each with a whole gap would bring far too many; here none is added, on average."""
    windows = tuple(("0", "0.05", "3", family, "0.3", "1") for _ in range(1))
    clients = [client(name, windows) for name in range(300)]
    sessions = drawn(pool(tmp_path / "pool.jsonl", *clients), duration=100)
    assert len(sessions) == pytest.approx(1500, rel=0.2)


def ranks(values: list[int]) -> np.ndarray:
    return np.argsort(np.argsort(np.array(values), kind="stable"))


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.5])
def test_lengths_are_tied_as_asked(tmp_path: Path, rho: float) -> None:
    """Spearman's rho within three standard errors; 0 unless asked, not 1."""
    table = "{" + ", ".join(f"{value}: 0.001" for value in range(1, 1001)) + "}"
    one = client(prompts=table, outputs=table)
    asked = [
        session.requests[0]
        for session in drawn(pool(tmp_path / "p.jsonl", one), duration=800, rank_correlation=rho)
    ]
    prompt = ranks([one.prompt_tokens for one in asked])
    output = ranks([one.max_output_tokens for one in asked])
    assert np.corrcoef(prompt, output)[0, 1] == pytest.approx(rho, abs=3 / len(asked) ** 0.5)


def test_scales_and_limits(tmp_path: Path) -> None:
    """Rates and lengths multiplied, lengths clipped; a longer piece begins like a shorter one."""
    path = pool(tmp_path / "pool.jsonl", client())
    slow, fast = (drawn(path, duration=1000, rate_scale=scale) for scale in (1, 4))
    assert len(fast) == pytest.approx(4 * len(slow), rel=0.2)
    sized = drawn(path, duration=100, token_scale=0.5, max_prompt_tokens=80)
    assert {session.requests[0].prompt_tokens for session in sized} == {50, 80}
    assert {session.requests[0].max_output_tokens for session in sized} == {5, 10}
    short = drawn(path, duration=500)
    assert slow[: len(short)] == short


def test_media_are_text_and_said(tmp_path: Path) -> None:
    """Tokens of images and the like are added to the prompt."""
    dataset = {
        "0": {"text_tokens": "{7: 1.0}", "image_tokens": "{100: 1.0}", "output_tokens": "{3: 1}"}
    }
    path = pool(tmp_path / "pool.jsonl", client() | {"dataset": dataset})
    assert {session.requests[0].prompt_tokens for session in drawn(path, duration=60)} == {107}
    assert "image_tokens of the pool" in ServeGen(path=path, duration=60).notes()[0]


def test_a_folder_as_servegen_has_it(tmp_path: Path) -> None:
    """`chunk-N-trace.csv` with or without a header, `chunk-N-dataset.json` beside it."""
    one = client(7)
    rows = "\n".join(",".join(row) for row in one["trace"])
    (tmp_path / "chunk-7-trace.csv").write_text("start,rate,cv,pattern,a,b\n" + rows)
    (tmp_path / "chunk-7-dataset.json").write_text(json.dumps(one["dataset"]))
    (found,) = client_pool.read(str(tmp_path))
    assert found.windows == (Window(0, 5, "Gamma", 0.25, 2),)
    from_file = drawn(pool(tmp_path / "pool.jsonl", one), duration=60)
    assert drawn(str(tmp_path), duration=60) == from_file


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            client(windows=(("0", "fast", "1", "Gamma", "1", "1"),)),
            "1: client 0: expected start, rate",
        ),
        (
            client(windows=(("0", "5", "1", "Zipf", "1", "1"),)),
            "expected a family of Gamma, Weibull",
        ),
        (client(prompts="{7"), "1: client 0: input_tokens: expected {value: probability"),
        (client(prompts="{7: 0}"), "they add up to 0"),
        (client() | {"dataset": {}}, "its dataset is empty"),
        (client() | {"dataset": {"noon": {}}}, "client 0: dataset"),
        ({"trace": []}, "client"),
    ],
)
def test_a_broken_pool_says_where(tmp_path: Path, broken: dict, message: str) -> None:
    """File, line, client and field."""
    with pytest.raises(BenchsuiteError, match=message) as error:
        drawn(pool(tmp_path / "pool.jsonl", broken), duration=60)
    assert "pool.jsonl" in str(error.value)


def test_clients_that_come_later_are_silent_until_then() -> None:
    """A piece that ends before a client's first window has the others alone."""
    sessions = drawn(str(POOL), duration=43_000.0)
    assert {session.requests[0].tenant for session in sessions} == {"52"}


def test_a_silent_piece_is_refused(tmp_path: Path) -> None:
    """Nobody sends anything then."""
    path = pool(tmp_path / "pool.jsonl", client(windows=(("0", "0", "0", "", "0", "0"),)))
    with pytest.raises(BenchsuiteError, match="no client sends anything from 0 s to 9 s"):
        drawn(path, duration=9)
