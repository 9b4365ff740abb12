"""The runs of a gate, made in the order of `order.turns`, each kept in its own folder.

Nothing is measured twice: the same command on the same folder reads what is there and goes on. A
run that cannot be trusted is made once more; if that cannot be trusted either, its pair is left out
and counted. Both attempts stay on disk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchsuite.endpoints.openai_server import OpenAIServer
from benchsuite.errors import InterruptedRunError, ScenarioError
from benchsuite.gate.order import Side, Turn, seed_of, turns
from benchsuite.gate.outcome import Made
from benchsuite.gate.servers import serving
from benchsuite.results.result import FILE_NAME, RunResult
from benchsuite.scenario import Scenario
from benchsuite.sweep.runs import Run, once

PLAN_NAME: Final = "plan.json"
RUNS_NAME: Final = "runs"


class Plan(Struct, frozen=True, kw_only=True):
    """What a gate's folder was begun with; it is taken up again by the same alone."""

    schema_version: str = "1.0"
    scenario: str
    settings: dict[str, tuple[str, ...]]  # side -> overrides
    commands: dict[str, str] = {}  # side -> server command
    seed: int
    salt: str  # of the texts of this job

    def claim(self, folder: Path) -> "Plan":
        """This plan, or the same one as it was begun in `folder`. Raises ScenarioError if the
        folder holds runs of another, or something else."""
        path = folder / PLAN_NAME
        if path.exists() and any((folder / RUNS_NAME).glob(f"*/{FILE_NAME}")):
            before = msgspec.json.decode(path.read_bytes(), type=Plan)
            if replace(before, salt="") != replace(self, salt=""):
                raise ScenarioError(f"--report-dir {folder}: holds another gate; name a new folder")
            return before
        if not path.exists() and folder.exists() and any(folder.iterdir()):
            raise ScenarioError(f"--report-dir {folder}: not empty, and no gate; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{PLAN_NAME}.tmp"
        draft.write_bytes(msgspec.json.encode(self))
        draft.replace(path)
        return self


class Subject(Struct, frozen=True, kw_only=True):
    """One side: what is run, and the server that is started for it, if any."""

    scenario: Scenario
    command: str | None = None
    ready_url: str | None = None

    def url(self) -> str | None:
        """Where its server answers, if it has an address."""
        if self.ready_url is not None:
            return self.ready_url
        endpoint = self.scenario.endpoint
        return endpoint.resource("/models") if isinstance(endpoint, OpenAIServer) else None


class Measured:
    """What was measured so far."""

    def __init__(self, sides: Iterable[Side]) -> None:
        self._sides = frozenset(sides)
        self.made: list[Made] = []
        self.valid: dict[Turn, RunResult] = {}
        self.partial: str | None = None

    def of(self, side: Side) -> list[RunResult]:
        """Runs that count; where both sides are measured, those whose pair is whole."""
        return [
            run
            for turn, run in sorted(self.valid.items(), key=lambda item: item[0].pair)
            if turn.side == side
            and all(Turn(turn.pair, other) in self.valid for other in self._sides)
        ]

    @property
    def invalid(self) -> list[Made]:
        return [one for one in self.made if one.verdict != "valid"]


class Measurement:
    """How the runs of one gate are made. `stop` is asked after each pair whether that is enough."""

    def __init__(
        self,
        subjects: dict[Side, Subject],
        plan: Plan,
        folder: Path,
        *,
        run: Run,
        say: Callable[[str], None],
        is_restarted: bool,
        ready_within_s: float,
        warmup_runs: int,
    ) -> None:
        self._subjects, self._plan, self._folder = subjects, plan, folder
        self._run, self._say = run, say
        self._is_restarted, self._ready_within_s = is_restarted, ready_within_s
        self._warmup_runs = warmup_runs
        urls = [one.url() for one in subjects.values()]
        self.shares_server = not is_restarted and None not in urls and len(set(urls)) < len(urls)

    def measure(self, pairs: int, stop: Callable[[Measured], bool]) -> Measured:
        found = Measured(self._subjects)
        order = [turn for turn in turns(pairs, self._plan.seed) if turn.side in self._subjects]
        try:
            with ExitStack() as stack:
                if not self._is_restarted:
                    for side in self._subjects:
                        stack.enter_context(self._server(side))
                self._warm_up()
                for turn in order:
                    self._take(turn, found, len(order))
                    is_whole = all(
                        any(one.pair == turn.pair and one.side == side for one in found.made)
                        for side in self._subjects
                    )
                    if is_whole and stop(found):
                        break
        except (KeyboardInterrupt, InterruptedRunError):
            found.partial = "interrupted"
        return found

    def once(self) -> tuple[Measured, RunResult | None]:
        """One run of now alone, and its result, however it ended."""
        found, turn, result = Measured(self._subjects), Turn(0, "now"), None
        try:
            with self._server("now"):
                scenario = self._subjects["now"].scenario
                result = self._once(scenario, self._folder / RUNS_NAME / turn.name)
                found.made.append(_made(turn, turn.name, scenario, result))
        except (KeyboardInterrupt, InterruptedRunError):
            found.partial = "interrupted"
        return found, result

    @contextmanager
    def _server(self, side: Side) -> Iterator[None]:
        subject = self._subjects[side]
        url = subject.url()
        if subject.command is None:
            yield
            return
        if url is None:
            raise ScenarioError(
                "--server-command: the scenario's endpoint has no address of its own"
            )
        log_path = self._folder / "servers" / f"{side}.log"
        self._say(f"starting the server of {side}; its log: {log_path}")
        with serving(subject.command, url, self._ready_within_s, log_path):
            yield

    def _warm_up(self) -> None:
        for number in range(self._warmup_runs):
            for side, subject in self._subjects.items():
                self._say(f"warm-up of {side}, not counted")
                scenario = replace(
                    subject.scenario, seed=seed_of(self._plan.seed, -1 - number), salt=None
                )
                with self._server(side) if self._is_restarted else nullcontext():
                    self._once(scenario, self._folder / "warm-up" / f"{number}-{side}")

    def _once(self, scenario: Scenario, folder: Path) -> RunResult:
        result = once(scenario, folder, self._run)
        if result.partial == "interrupted":
            raise KeyboardInterrupt
        return result

    def _take(self, turn: Turn, found: Measured, total: int) -> None:
        """One run, once more if it is invalid."""
        plain = self._subjects[turn.side].scenario
        scenario = replace(plain, seed=seed_of(self._plan.seed, turn.pair), salt=self._salt(turn))
        for attempt, name in enumerate((turn.name, f"{turn.name}-again")):
            again = ", once more" if attempt else ""
            self._say(
                f"run {len(found.valid) + 1} of {total}: pair {turn.pair + 1}, {turn.side}{again}"
            )
            folder = self._folder / RUNS_NAME / name
            is_there = (folder / FILE_NAME).exists()
            starts = self._is_restarted and not is_there
            with self._server(turn.side) if starts else nullcontext():
                if attempt:  # texts that the server has seen would be in its prefix cache
                    scenario = replace(scenario, salt=plain.salt)
                result = self._once(scenario, folder)
            found.made.append(_made(turn, name, scenario, result))
            if result.verdict == "valid":
                found.valid[turn] = result
                return
            self._say(f"invalid: {'; '.join(result.reasons)}")

    def _salt(self, turn: Turn) -> str | None:
        """The same texts on both sides of a pair, unless one server would see them twice."""
        plain = self._subjects[turn.side].scenario
        is_free = plain.salt is None and plain.cache == "cold" and plain.endpoint.is_real_time
        if not is_free or self.shares_server:
            return plain.salt
        return f"{self._plan.salt}-{turn.pair}"


def _made(turn: Turn, name: str, scenario: Scenario, result: RunResult) -> Made:
    return Made(
        name=name,
        folder=f"{RUNS_NAME}/{name}",
        side=turn.side,
        pair=turn.pair,
        seed=scenario.seed,
        verdict=result.verdict,
        reasons=result.reasons,
    )


def reasons(made: Sequence[Made]) -> tuple[str, ...]:
    """Why runs do not count, each reason once."""
    return tuple(dict.fromkeys(reason for one in made for reason in one.reasons))
