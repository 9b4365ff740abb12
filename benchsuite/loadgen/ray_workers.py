"""Who sends when one machine is not enough: a worker on every node of a Ray cluster.

What runs over there is what `workers` runs in a process of its own. Here are only the ways of a
cluster: one actor a node, each node's clock measured so that all begin at one moment, and records
that are fetched when a worker has ended. The one file that imports ray.
"""

import asyncio
import os
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console

import benchsuite
from benchsuite.endpoints.base import Endpoint
from benchsuite.endpoints.reference_engine import ReferenceEngine
from benchsuite.errors import BenchsuiteError, EndpointError, RunError, ScenarioError
from benchsuite.loadgen import workers
from benchsuite.loadgen.clocks import Offset, Probe, offset
from benchsuite.loadgen.driver import Stop
from benchsuite.loadgen.interrupts import signals
from benchsuite.loadgen.node_actor import PIECE_BYTES, About, NodeActor
from benchsuite.loadgen.progress import View
from benchsuite.loadgen.schedule import Schedule
from benchsuite.loadgen.sending import SPOOL_NAME, DiskError
from benchsuite.loadgen.telemetry import metering, reading
from benchsuite.loadgen.worker import cells, total
from benchsuite.loadgen.workers import Ended
from benchsuite.records.node import Node
from benchsuite.scenario import Scenario, dump
from benchsuite.workloads.tokenizer import Tokenizer

os.environ.setdefault("RAY_AUTH_MODE", "token")  # ray looks once, when it is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ScenarioError('--ray needs ray: pip install "benchsuite[distributed]"') from error

LOCAL: Final = "local"  # a cluster of this machine alone, for the length of the run
STORE_BYTES: Final = 80_000_000  # for such a cluster; Ray's least is 75 MiB
PLACED_WITHIN_S: Final = 120.0  # from asking for a worker to its first word
REACHED_WITHIN_S: Final = 5.0
FETCHED_WITHIN_S: Final = 60.0  # a piece of a file
COUNT_S: Final = 1.0  # between two looks at a worker's counters
NUM_PROBES: Final = 50  # of a node's clock
LEAD_S: Final = 1.0  # from the last probe to the run's zero, and
LEAD_ROUND_TRIPS: Final = 10  # of the slowest exchange with a node
CALLS: Final = 4  # at a time in an actor: its work, its next word, an order, a look


def send_all(
    scenario: Scenario,
    schedule: Schedule,
    tokenizer: Tokenizer,
    folder: Path,
    console: Console,
    *,
    address: str,
    view: View = View(),  # noqa: B008  it cannot be changed
) -> Ended:
    """Send the schedule from the nodes of the cluster at `address`: `local`, `auto`, host:port.

    Records go to `folder/spool`, one file a node, on the driver's clock, and what this machine read
    of the server's metrics meanwhile. Raises ScenarioError or RunError before anything was sent if
    a node is not fit for it.
    """
    if not scenario.endpoint.is_real_time:
        raise ScenarioError("--ray: virtual time runs in one process")
    (folder / SPOOL_NAME).mkdir()
    stop = Stop()
    with _cluster(address):
        places = _places(scenario, schedule)

        async def main() -> Ended:
            async with (
                scenario.endpoint.started(folder) as endpoint,
                reading(scenario.telemetry, endpoint, folder / SPOOL_NAME),
                metering(scenario.telemetry, endpoint, folder / SPOOL_NAME),
                _placed(places) as nodes,
            ):
                offsets = await _ready(nodes, scenario, schedule, endpoint)
                with signals(asyncio.get_running_loop(), stop, console):
                    return await _sent(nodes, offsets, schedule, folder, console, view, stop)

        with asyncio.Runner() as runner:
            return runner.run(main())


async def _ready(
    nodes: "list[_Worker]", scenario: Scenario, schedule: Schedule, endpoint: Endpoint
) -> list[Offset]:
    """All have planned, connected and made their bodies; how far each one's clock is from ours."""
    await _refuse_unfit(nodes, scenario)
    digest = schedule.digest()
    for node in nodes:
        node.begin(scenario, endpoint, digest)
    await workers.all_ready(nodes)
    return [await asyncio.to_thread(node.clock) for node in nodes]


async def _sent(
    nodes: "list[_Worker]",
    offsets: list[Offset],
    schedule: Schedule,
    folder: Path,
    console: Console,
    view: View,
    stop: Stop,
) -> Ended:
    """Begin at one moment, each on its own clock; wait; fetch what was written."""
    slowest_s = max(2 * one.uncertainty_s for one in offsets)
    start_s = time.monotonic() + LEAD_S + LEAD_ROUND_TRIPS * slowest_s
    for node, one in zip(nodes, offsets, strict=True):
        node.has_records = True
        node.tell(start_s + one.offset_s)
    counts = [0] * cells(len(nodes))
    looking = [asyncio.create_task(node.look(counts)) for node in nodes]
    try:
        early = await workers.all_ended(
            nodes, schedule, lambda: total(counts, len(nodes)), console, view, stop
        )
    finally:
        for task in looking:
            task.cancel()
    spool = folder / SPOOL_NAME
    found = [await _home(node, one, spool) for node, one in zip(nodes, offsets, strict=True)]
    if early is not None and not any(spool.iterdir()):
        raise RunError(early)
    return Ended(early, len(nodes), tuple(found))


async def _home(node: "_Worker", begun: Offset, spool: Path) -> Node:
    """Fetch what a node wrote, whole or not, and see how its clock went."""
    drift_s = None
    with suppress(RayError, RunError, TimeoutError):  # it is gone, as `early` says
        if node.is_lost:
            node.replace()
        else:
            drift_s = (await asyncio.to_thread(node.clock)).offset_s - begun.offset_s
        await node.fetch(spool)
    return Node(
        worker=node.number,
        address=node.place.address,
        clock_offset_s=begun.offset_s,
        clock_uncertainty_s=begun.uncertainty_s,
        clock_drift_s=drift_s,
    )


# --- the cluster ---


class _Place(NamedTuple):
    """A node of the cluster."""

    node_id: str
    address: str


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connected; what was started for this run is ended with it, and nothing else."""
    if address.startswith("ray://"):
        raise ScenarioError(
            f"--ray {address}: start benchsuite on a node of the cluster, with --ray auto"
        )
    with _options(address) as options:
        try:
            _reach(address)
            ray.init(address, log_to_driver=False, logging_level="warning", **options)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise ScenarioError(f"--ray {address}: {_words(error)}{_hint(error)}") from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _options(address: str) -> Iterator[dict[str, Any]]:
    """Of a small cluster that leaves nothing behind; none for one that runs already."""
    if address != LOCAL:
        yield {}
        return
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with tempfile.TemporaryDirectory(
        prefix="benchsuite-ray-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:  # its path has to be short: sockets lie in it
        yield {
            "num_cpus": 1,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_temp_dir": folder,
        }


def _reach(address: str) -> None:
    """Ray itself tries for more than a minute, and then ends the process."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    if not port.isdecimal():
        raise ValueError("expected local, auto or HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN_S).close()


def _hint(error: Exception) -> str:
    """Ray says of a wrong token that it could not connect."""
    if not any(word in str(error) for word in ("token", "Failed to connect")):
        return ""
    return (
        "; the cluster's token goes into RAY_AUTH_TOKEN (RAY_AUTH_MODE=disabled if it has none and"
        " its network is yours alone)"
    )


def _places(scenario: Scenario, schedule: Schedule) -> list[_Place]:
    """The nodes that may compute, this run's workers among them, in the same order each time."""
    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not alive:
        raise ScenarioError("--ray: no node of the cluster has a CPU for a worker")
    num = scenario.workers or len(alive)
    if num > len(alive):
        raise ScenarioError(
            f"workers: {num}, but the cluster has {len(alive)} nodes; --ray places one on each"
        )
    found = sorted(_Place(node["NodeID"], node["NodeManagerAddress"]) for node in alive)
    found.sort(key=lambda place: place.address)
    found = found[: min(num, schedule.concurrency or num)]
    here = ray.get_runtime_context().get_node_id()
    away = [place.address for place in found if place.node_id != here]
    if away and isinstance(scenario.endpoint, ReferenceEngine):
        raise ScenarioError(
            "endpoint.type: reference_engine is started on this machine and listens on its "
            f"loopback, where {', '.join(away)} cannot reach it; start it by itself on an address "
            "of the network and name that with type: openai_chat"
        )
    return found


@asynccontextmanager
async def _placed(places: list[_Place]) -> "AsyncIterator[list[_Worker]]":
    """An actor on each; they end with the block."""
    found = [
        _Worker(number, len(places), place, _actor(place, num_cpus=1))
        for number, place in enumerate(places)
    ]
    try:
        yield found
    finally:
        leaving = [one.actor.leave.remote() for one in found if not one.has_records]
        if leaving:
            ray.wait(leaving, num_returns=len(leaving), timeout=REACHED_WITHIN_S)
        for worker in found:
            ray.kill(worker.actor)


def _actor(place: _Place, *, num_cpus: int, folder: Path | None = None) -> Any:
    there = NodeAffinitySchedulingStrategy(place.node_id, soft=False)
    options = {"num_cpus": num_cpus, "max_concurrency": CALLS, "scheduling_strategy": there}
    return ray.remote(NodeActor).options(**options).remote(folder)


async def _refuse_unfit(nodes: "list[_Worker]", scenario: Scenario) -> None:
    """Another version, or a file that is not there: said before the first byte is sent."""
    files = _files(dump(scenario))
    for node in nodes:
        try:
            async with asyncio.timeout(PLACED_WITHIN_S):
                about: About = await node.actor.about.remote(files)
        except TimeoutError:
            raise RunError(
                f"{node}: no worker began there within {PLACED_WITHIN_S:g} s; are its CPUs taken?"
            ) from None
        except RayError as error:
            raise RunError(f"{node}: no worker began there: {_words(error)}") from error
        node.folder = about.folder
        if about.version != benchsuite.__version__:
            raise RunError(
                f"{node}: has benchsuite {about.version}, but {benchsuite.__version__} runs here"
            )
        if about.missing:
            raise ScenarioError(
                f"{node}: has no {', '.join(about.missing)}; a scenario's files have to lie at "
                "the same place on every node"
            )


def _files(node: Any) -> tuple[str, ...]:
    """Files and folders of this machine that a resolved scenario names."""
    if isinstance(node, dict):
        return tuple(path for value in node.values() for path in _files(value))
    if isinstance(node, list | tuple):
        return tuple(path for value in node for path in _files(value))
    is_one = isinstance(node, str) and node.startswith("/") and Path(node).exists()
    return (node,) if is_one else ()


def _words(error: Exception) -> str:
    """Ray explains at length, and ends with what happened over there."""
    return str(error).strip().rpartition("\n")[2].strip().partition(". ")[0]


# --- what stands here ---


@dataclass
class _Worker:
    """A worker on a node, as `workers.Worker` has it. The first error of its actor is its end."""

    number: int
    num_workers: int
    place: _Place
    actor: Any
    folder: Path | None = None  # over there
    is_lost: bool = False
    has_records: bool = False  # over there, and not here
    _why: str = "it was not heard of again"
    _work: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        return f"node {self.place.address}"

    def begin(self, scenario: Scenario, endpoint: Endpoint, digest: str) -> None:
        asked = (scenario, endpoint, self.number, self.num_workers, digest)
        self._work = [self.actor.work.remote(*asked)]

    async def heard(self) -> str | BenchsuiteError | None:
        try:
            word: str | BenchsuiteError | None = await self.actor.heard.remote()
            if word is None:
                await self._work[0]  # raises what it ended with
        except RayError as error:
            self.is_lost, self._why = True, _words(error)
            return None
        if isinstance(word, DiskError):
            self.is_lost, self._why = True, str(word).partition(";")[0]
            return None
        if isinstance(word, BenchsuiteError):
            kinds = (ScenarioError, EndpointError, RunError, BenchsuiteError)
            kind = next(kind for kind in kinds if isinstance(word, kind))
            return kind(f"{self}: {word}")
        return word

    def tell(self, word: str | float) -> None:
        self.actor.tell.remote(word)

    async def cause(self) -> str:
        return f"{self}: {self._why}"

    async def look(self, counts: list[int]) -> None:
        """Copy its counters once a second."""
        width = cells(1)
        with suppress(RayError):  # whoever waits for its end will say so
            while True:
                found = await self.actor.counters.remote()
                counts[self.number * width : (self.number + 1) * width] = found
                await asyncio.sleep(COUNT_S)

    def clock(self) -> Offset:
        """Its clock minus ours, now. Raises RunError if it is gone."""
        try:
            return offset([self._probe() for _ in range(NUM_PROBES)])
        except RayError as error:
            raise RunError(f"{self}: {_words(error)}") from error

    def _probe(self) -> Probe:
        asked_s = time.monotonic()
        there_s = ray.get(self.actor.clock.remote(), timeout=REACHED_WITHIN_S)
        return Probe(asked_s, there_s, time.monotonic())

    def replace(self) -> None:
        """Another actor in its folder: what a lost one has written may still be there."""
        ray.kill(self.actor)
        self.actor = _actor(self.place, num_cpus=0, folder=self.folder)

    async def fetch(self, spool: Path) -> None:
        """Its files into ours."""
        async with asyncio.timeout(FETCHED_WITHIN_S):
            files: list[tuple[str, int]] = await self.actor.files.remote()
        for name, num_bytes in files:
            with (spool / name).open("xb") as file:
                for start in range(0, num_bytes, PIECE_BYTES):
                    async with asyncio.timeout(FETCHED_WITHIN_S):
                        file.write(await self.actor.piece.remote(name, start))
        self.has_records = False
