"""What is seen of a run while it goes on: counts that add up, quantiles that are near the truth."""

import re
import socket
import threading
import urllib.error
import urllib.request
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.console import Console

from benchsuite.errors import ScenarioError
from benchsuite.exchange import Exchange
from benchsuite.loadgen import counters, progress
from benchsuite.loadgen.counters import Counters, reading
from benchsuite.loadgen.progress import Address, Moment, View
from benchsuite.loadgen.prometheus import exposition
from benchsuite.loadgen.schedule import Schedule
from tests.end_to_end.commands import benchsuite, scenario, started

OPEN = Schedule(
    draw=lambda: iter(()),
    due_s=tuple(np.arange(0, 100, 0.25)),
    concurrency=None,
    num_requests=400,
    end_s=None,
)
CLOSED = Schedule(draw=lambda: iter(()), due_s=None, concurrency=8, num_requests=400, end_s=None)


def ended(sent_s: float, *read_s: float, error: str | None = None, status: int = 200) -> Exchange:
    head = b"HTTP/1.1 %d X\r\n\r\n" % status
    reads = [head, *(b"data: {}\n\n" for _ in read_s[1:])]
    return Exchange(
        request_id=0,
        stamp_source="kernel",
        framing="http",
        sent_s=sent_s,
        reads=reads[: len(read_s)],
        read_s=np.array(read_s),
        lag_s=np.full(len(read_s), 1e-4),
        error_class=error,
    )


def test_a_stream_counts_from_due_by_its_first_event() -> None:
    """A head that comes alone is no token, and between two streams there is no gap."""
    seen = Counters()
    seen.saw(1.0, ended(1.5, 1.6, 2.0, 2.1, 2.2))
    seen.saw(2.0, ended(2.0, 2.1, 6.0, 6.1))
    found = reading(seen.cells())
    assert {name: int(counts.sum()) for name, counts in found.series.items()} == {
        "ttft": 2,
        "itl": 3,
        "send_delay": 2,
        "client_lag": 7,
    }
    assert counters.quantile_s(found.series["ttft"], 0.5) == pytest.approx(1.0, rel=0.125)
    assert counters.quantile_s(found.series["ttft"], 1.0) == pytest.approx(4.0, rel=0.125)
    assert counters.quantile_s(found.series["itl"], 1.0) == pytest.approx(0.1, rel=0.125)
    assert (found.num_ended, found.num_reads, found.num_errors) == (2, 7, 0)


def test_errors_are_told_by_class() -> None:
    seen = Counters()
    for exchange in (
        ended(0.0, 0.1, status=503),
        ended(0.0, 0.1, status=404),
        ended(0.0, error="refused"),
        ended(0.0, 0.1, error="timeout_total"),
        ended(0.0, 0.1, error="a_new_class"),
    ):
        seen.saw(None, exchange)
    found = reading(seen.cells())
    assert {name: num for name, num in found.errors.items() if num} == {
        "http_5xx": 1,
        "http_4xx": 1,
        "refused": 1,
        "timeout": 1,
        "other": 1,
    }
    assert found.num_errors == 5
    assert not any(counts.sum() for counts in found.series.values())


def test_nothing_is_counted_twice_when_two_threads_look() -> None:
    seen, over = Counters(), threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.cells()

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        seen.saw(None, ended(0.0, 0.1, 0.2, 0.3))
    over.set()
    for thread in threads:
        thread.join()
    assert int(reading(seen.cells()).series["itl"].sum()) == 2000


def test_few_streams_are_kept_where_nobody_looks() -> None:
    seen = Counters()
    for _ in range(1000):
        seen.saw(None, ended(0.0, 0.1, 0.2))
    assert len(seen._fresh) < 64


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(1e-5, 400)))
def test_quantiles_are_at_most_an_eighth_too_large(values: np.ndarray) -> None:
    counts = counters.histogram(values)
    assert counts.sum() == len(values)
    for share in (0.5, 0.9, 0.99, 1.0):
        true = np.sort(values)[max(int(np.ceil(share * len(values))), 1) - 1]
        found = counters.quantile_s(counts, share)
        assert found is not None
        assert true <= found <= true * 1.1251


def test_what_lies_outside_the_buckets_falls_into_the_last_ones() -> None:
    counts = counters.histogram(np.array([-1.0, 0.0, 1e9]))
    assert (counts[0], counts[-1], counts.sum()) == (2, 1, 3)
    assert counters.quantile_s(counts * 0, 0.5) is None


def moments() -> tuple[Moment, Moment]:
    seen = Counters()
    before = Moment(0.0, reading(seen.cells()))
    seen.num_begun = seen.num_sent = 42
    for _ in range(39):
        seen.saw(0.0, ended(0.001, 0.05, 0.2, 0.22, 0.24))
    seen.saw(0.0, ended(0.0, error="refused"))
    return before, Moment(10.0, reading(seen.cells()))


def test_the_line_says_what_was_asked_and_what_was_delivered() -> None:
    text = progress.line(*moments(), OPEN)
    for said in (
        "sent 42/400",
        "in flight 2",
        "sessions/s asked 4.00 delivered 4.20",
        "errors 1 (refused 1)",
        "about 90 s left",
        "(provisional)",
    ):
        assert said in text
    assert "concurrency 8: 4.20 sessions/s" in progress.line(*moments(), CLOSED)


def test_the_dashboard_fits_a_terminal() -> None:
    out = StringIO()
    Console(file=out, width=80).print(progress.dashboard(*moments(), OPEN))
    lines = out.getvalue().splitlines()
    assert len(lines) == 8
    assert max(map(len, lines)) <= 80
    assert re.search(r"ITL +2[0-2]\.\d ms +2[0-2]\.\d ms +2[0-2]\.\d ms +78", out.getvalue())


def test_rates_are_of_the_last_seconds_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, seen = iter((100.0, 101.0, 105.0, 112.0, 130.0)), Counters()
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    looks = progress._moments(seen.cells)
    spans = [(before.at_s, now.at_s) for (before, now), _ in zip(looks, range(4), strict=False)]
    assert spans == [(0.0, 1.0), (0.0, 5.0), (1.0, 12.0), (12.0, 30.0)]


def test_an_empty_run_can_be_shown() -> None:
    nothing = Moment(0.0, reading(Counters().cells()))
    for schedule in (OPEN, CLOSED):
        assert "sent 0" in progress.line(nothing, nothing, schedule)
        Console(file=StringIO()).print(progress.dashboard(nothing, nothing, schedule))


def test_prometheus_histograms_ascend_to_their_count() -> None:
    text = exposition(moments()[1].seen)
    buckets = [int(n) for n in re.findall(r"itl_seconds_bucket\{le=\"[^\"]+\"\} (\d+)", text)]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 78
    assert "benchsuite_provisional_requests_in_flight 2" in text
    assert 'errors_total{class="refused"} 1' in text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) .+|[a-z0-9_]+(\{[a-z]+=\"[^\"]*\"\})? \S+", line), line


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9100", ("127.0.0.1", 9100)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("127.0.0.2:1", ("127.0.0.2", 1)),
        ("[::1]:9100", ("::1", 9100)),
        ("0.0.0.0:9100", None),
        ("example.org:9100", None),
        ("", None),
        ("99999", None),
        ("٣", None),
    ],
)
def test_addresses_are_of_this_machine(text: str, found: tuple[str, int] | None) -> None:
    if found is not None:
        assert progress.address(text) == found
        return
    with pytest.raises(ScenarioError, match="--listen"):
        progress.address(text)


def test_it_listens_until_the_block_ends() -> None:
    out = StringIO()
    view = View("quiet", Address("127.0.0.1", 0))
    console = Console(file=out, width=200)
    with progress.progress(console, view, Counters().cells, CLOSED):
        url = out.getvalue().split()[-1]
        with urllib.request.urlopen(url) as answer:
            assert "requests_sent_total 0" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url.replace("/metrics", "/x"))
        taken = View("quiet", Address("127.0.0.1", int(url.split(":")[2].split("/")[0])))
        with (
            pytest.raises(ScenarioError, match="in use"),
            progress.progress(console, taken, Counters().cells, CLOSED),
        ):
            pass
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)


def test_a_taken_port_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--workers", "2", "--listen", port)
        ended = benchsuite("run", scenario(tmp_path), "--out", out, *words)
    assert ended.returncode == 2
    assert ended.stderr == f"benchsuite: --listen 127.0.0.1:{port}: Address already in use\n"
    assert not out.exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_is_seen_while_it_goes_on(tmp_path: Path, workers: str) -> None:
    """Over both roads: counters of this process, and of others through shared memory."""
    path = scenario(tmp_path, limits="{requests: 100000, duration: 60s}")
    words = ("run", path, "--out", tmp_path / "run", "--workers", workers)
    with started(*words, "--listen", "0", "--quiet") as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        for _ in range(200):
            with urllib.request.urlopen(url) as answer:
                text = answer.read().decode()
            found = re.search(r"provisional_ttft_seconds_count (\d+)", text)
            assert found is not None
            if int(found[1]) > 10:
                break
            threading.Event().wait(0.1)
        else:
            pytest.fail(text)
        process.terminate()
        _, rest = process.communicate(timeout=60)
    assert rest.startswith("stopping"), rest
