"""The sweep: loads from small to large, each through the road of a real run, each held against the
emitter's own times. Schedule, driver, wire client, spool and decoding are those of `run`.
"""

import asyncio
import os
import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from benchsuite.arrivals import ClosedLoop, Poisson
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.errors import RunError
from benchsuite.exchange import Exchange
from benchsuite.loadgen.counters import Counters
from benchsuite.loadgen.driver import Stop
from benchsuite.loadgen.schedule import Schedule
from benchsuite.loadgen.sending import LEAD_S, SPOOL_NAME, Share, send
from benchsuite.records import client as client_file
from benchsuite.records.client import Client
from benchsuite.records.spool import Asked, read_spool
from benchsuite.records.table import FloatArray
from benchsuite.results.curve import Curve, Machine, RequestPoint, TokenPoint
from benchsuite.results.environment import Environment
from benchsuite.results.facts import Facts
from benchsuite.results.spread import Spread
from benchsuite.scenario import Limits, Scenario
from benchsuite.selftest.emitter import Log, Pace, Truth, started
from benchsuite.workloads import tokenizer as tokenizers
from benchsuite.workloads.lengths import Fixed
from benchsuite.workloads.synthetic import Synthetic

TOKENS_PER_S: Final = 50.0  # of one stream
TTFT_S: Final = 0.2
SATURATION_STREAMS: Final = 64
SHORT_TOKENS: Final = 8  # of the answers in the sweep of request rates
SHORT: Final = Pace(ttft_s=0.02, itl_s=0.005)
DRAIN_S: Final = 30.0
PROMPT_TOKENS: Final = 16
_ANSWER: Final = re.compile(rb"\r\nX-Emitter-Answer: (\d+)\r\n")


class Plan(NamedTuple):
    """What is swept, and for how long each."""

    streams: tuple[int, ...]
    rates: tuple[float, ...]  # requests per second
    paced_s: float
    saturation_tokens: int  # per stream
    rate_s: float


FULL: Final = Plan((1, 16, 64, 200, 512), (50, 100, 200, 500, 1000), 5.0, 4_000, 4.0)
QUICK: Final = Plan((16, 200), (100, 500), 1.0, 600, 1.0)


def sweep(plan: Plan, say: Callable[[str], None]) -> Curve:
    """Measure all of it; `say` hears what is being measured. Raises RunError if answers are lost,
    KeyboardInterrupt if the user ends it."""
    with _apart() as core, started(core) as port:
        bench = _Bench(port, say)
        paced = tuple(bench.paced(num, plan.paced_s) for num in plan.streams)
        full = bench.saturated(plan.saturation_tokens)
        requests = tuple(bench.requests(rate, plan.rate_s) for rate in plan.rates)
    return Curve(
        made_at=Facts.now(),
        is_quick=plan is QUICK,
        machine=Machine.of(Environment.capture()),
        tokens=(*paced, full),
        requests=requests,
    )


@contextmanager
def _apart() -> Iterator[int | None]:
    """The emitter gets the last core, and we the others, as if it were another machine."""
    if not hasattr(os, "sched_getaffinity"):
        yield None
        return
    ours = os.sched_getaffinity(0)
    last = max(ours)
    if len(ours) > 1:
        os.sched_setaffinity(0, ours - {last})
    try:
        yield last if len(ours) > 1 else None
    finally:
        os.sched_setaffinity(0, ours)


async def _soon() -> float:
    return asyncio.get_running_loop().time() + LEAD_S


class Answer(NamedTuple):
    """One answer: what the client recorded of it, and what was true."""

    asked: Asked
    exchange: Exchange
    read: list[int]  # of each token: index into the exchange's reads
    truth: Truth


class Sent(NamedTuple):
    """One load, once it is over."""

    answers: list[Answer]
    client: Client
    emitter_cpu_s: float

    @property
    def others_cpu(self) -> float | None:
        """Cores that neither we nor the emitter used."""
        machine_s = self.client.machine_s
        if machine_s is None:
            return None
        return max(0.0, machine_s - self.client.cpu_s - self.emitter_cpu_s) / self.client.wall_s


class _Bench:
    """Sends loads to the emitter at `port`."""

    def __init__(self, port: int, say: Callable[[str], None]) -> None:
        self._url, self._say = f"http://127.0.0.1:{port}", say
        self._tokenizer = tokenizers.load("bundled")

    def paced(self, streams: int, for_s: float) -> TokenPoint:
        self._say(f"{streams} streams, each {TOKENS_PER_S:g} tokens/s")
        pace = Pace(ttft_s=TTFT_S, itl_s=1 / TOKENS_PER_S)
        tokens = round(for_s * TOKENS_PER_S)
        sent = self._send(ClosedLoop(streams), pace, tokens, Limits(requests=streams))
        return token_point(sent, streams, streams * TOKENS_PER_S)

    def saturated(self, tokens: int) -> TokenPoint:
        num = SATURATION_STREAMS
        self._say(f"{num} streams, as fast as possible")
        sent = self._send(ClosedLoop(num), Pace(ttft_s=TTFT_S), tokens, Limits(requests=num))
        return token_point(sent, num, None)

    def requests(self, rate: float, for_s: float) -> RequestPoint:
        self._say(f"{rate:g} requests/s, Poisson, {SHORT_TOKENS} tokens each")
        limits = Limits(requests=max(round(rate * for_s), 50))
        sent = self._send(Poisson(rate), SHORT, SHORT_TOKENS, limits)
        return request_point(sent)

    def _send(
        self, arrivals: ClosedLoop | Poisson, pace: Pace, tokens: int, limits: Limits
    ) -> Sent:
        scenario = Scenario(
            name="selftest",
            endpoint=OpenAIChat(
                url=self._url, body_fields={"pace": msgspec.to_builtins(pace)}, vendor_fields=False
            ),
            workload=Synthetic(prompt_tokens=Fixed(PROMPT_TOKENS), output_tokens=Fixed(tokens)),
            arrivals=arrivals,
            limits=msgspec.structs.replace(limits, drain=DRAIN_S),
        )
        schedule = Schedule.plan(scenario, self._tokenizer)
        with tempfile.TemporaryDirectory(prefix="benchsuite-selftest-") as name:
            folder = Path(name)
            (folder / SPOOL_NAME).mkdir()
            share = Share(scenario.endpoint, schedule, self._tokenizer, scenario.limits, folder, 0)
            with asyncio.Runner(loop_factory=scenario.endpoint.loop) as runner:
                runner.run(send(share, Stop(), Counters(), _soon))
            clients = client_file.read(folder / SPOOL_NAME)
            rows = list(read_spool(folder / SPOOL_NAME / "0.arrows"))
        if not clients:
            raise RunError(f"selftest: nothing could be written below {folder.parent}")
        log = self._log()
        return Sent(self._matched(scenario, rows, log), clients[0], log.cpu_s)

    def _matched(
        self, scenario: Scenario, rows: list[tuple[Asked, Exchange]], log: Log
    ) -> list[Answer]:
        truths = {truth.answer: truth for truth in log.answers}
        found = []
        for asked, exchange in rows:
            response = scenario.endpoint.decode(exchange, self._tokenizer.count)
            if response.error_class is not None:
                raise RunError(f"selftest: {response.error_class}: {response.error}")
            read = list(response.columns.read)
            truth = truths[answer_number(exchange)]
            if len(read) * 8 != len(truth.emitted_ns):
                raise RunError("selftest: the emitter's tokens are not those that were recorded")
            found.append(Answer(asked, exchange, read, truth))
        return found

    def _log(self) -> Log:
        with urllib.request.urlopen(f"{self._url}/truth", timeout=60) as answer:
            return msgspec.msgpack.decode(answer.read(), type=Log)


def answer_number(exchange: Exchange) -> int:
    """Which of the emitter's answers this is; it stands in the response's head."""
    found = _ANSWER.search(exchange.reads[0])
    if found is None:
        raise RunError("selftest: an answer without the emitter's number")
    return int(found[1])


def token_point(sent: Sent, streams: int, asked_per_s: float | None) -> TokenPoint:
    """Stamps against true emissions, over all tokens."""
    errors_s, user_s, late_s, shared, stamps_s = [], [], [], 0, []
    answers, client = sent.answers, sent.client
    for one in answers:
        emitted_s = np.frombuffer(one.truth.emitted_ns, dtype=np.int64).astype(np.float64) * 1e-9
        stamped_s = np.asarray(one.exchange.read_s)[one.read]
        lag_s: Any = np.asarray(one.exchange.lag_s)[one.read] if len(one.exchange.lag_s) else 0.0
        errors_s.append(np.abs(stamped_s - emitted_s))
        user_s.append(np.abs(stamped_s + lag_s - emitted_s))
        late_s.append(_lateness_s(one.truth, emitted_s))
        shared += len(one.read) - len(set(one.read))
        stamps_s.append(stamped_s)
    num = sum(len(one.read) for one in answers)
    kernel = all(one.exchange.stamp_source == "kernel" for one in answers)
    return TokenPoint(
        streams=streams,
        asked_tokens_per_s=asked_per_s,
        tokens_per_s=_tokens_per_s(stamps_s, is_paced=asked_per_s is not None),
        stamp_source="kernel" if kernel else "user",
        stamp_error=Spread.of(np.concatenate(errors_s)),
        user_error=Spread.of(np.concatenate(user_s)),
        cpu_per_token_s=client.cpu_s / num,
        shared=shared / num,
        emitter_lateness=Spread.of(np.concatenate(late_s)),
        num_blocked=sum(one.truth.num_blocked for one in answers),
        longest_stall_s=None if client.stalls is None else client.stalls.longest_s,
        others_cpu=sent.others_cpu,
    )


def _lateness_s(truth: Truth, emitted_s: FloatArray) -> FloatArray:
    """True emission - when it was due; nothing where no pace was asked for."""
    if not truth.itl_ns:
        return np.empty(0)
    due_ns = truth.first_due_ns + np.arange(len(emitted_s)) * truth.itl_ns
    return emitted_s - due_ns * 1e-9


def _tokens_per_s(stamps_s: list[FloatArray], *, is_paced: bool) -> float:
    """Paced streams begin one after the other, so each counts from its own first token."""
    if is_paced:
        return float(sum(_rate(at_s) for at_s in stamps_s))
    return _rate(np.sort(np.concatenate(stamps_s)))


def _rate(at_s: FloatArray) -> float:
    """Tokens per second between the first and the last."""
    took_s = float(at_s[-1] - at_s[0])
    return (len(at_s) - 1) / took_s if took_s > 0 else 0.0


def request_point(sent: Sent) -> RequestPoint:
    """Departures against the plan, and against when the server's kernel saw them."""
    answers = sent.answers
    due_s = np.array([one.asked.due_s for one in answers], dtype=np.float64)
    sent_s = np.array([one.exchange.sent_s for one in answers], dtype=np.float64)
    connect_s = np.array([one.exchange.connect_s for one in answers])
    received_s = np.array([one.truth.received_ns for one in answers]) * 1e-9
    return RequestPoint(
        asked_per_s=_rate(np.sort(due_s)),
        sent_per_s=_rate(np.sort(sent_s)),
        send_delay=Spread.of(sent_s - due_s - connect_s),
        sent_error=Spread.of(np.abs(received_s - sent_s)),
        cpu_per_request_s=sent.client.cpu_s / len(answers),
        others_cpu=sent.others_cpu,
    )
