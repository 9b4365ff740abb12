"""Workers on the nodes of a Ray cluster: the same load, on one clock, and what can go wrong."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from benchsuite.loadgen.schedule import Schedule
from benchsuite.results.result import RunResult
from benchsuite.scenario import load
from benchsuite.workloads import tokenizer
from tests.end_to_end.commands import benchsuite, scenario, started
from tests.end_to_end.ray_cluster import (
    environment,
    kill,
    node,
    processes,
    when_gone,
    when_written,
)

ray = pytest.importorskip("ray", reason="needs the extra `distributed`")

LONG = {"arrivals": "{type: poisson, rate: 100}", "limits": "{requests: 600}"}


def due(folder: Path) -> list[tuple[int, float]]:
    table = pq.read_table(folder / "requests.parquet")
    pairs = zip(table["request_id"].to_pylist(), table["due_s"].to_pylist(), strict=True)
    return sorted((i, round(due_s, 6)) for i, due_s in pairs)


def planned(path: Path) -> list[tuple[int, float]]:
    """What one process sends: all of the schedule."""
    checked = load(path)
    pairs = Schedule.plan(checked, tokenizer.load(checked.tokenizer))
    return sorted((session.requests[0].id, round(due_s or 0.0, 6)) for due_s, session in pairs)


def test_a_cluster_of_one_sends_the_schedule(tmp_path: Path) -> None:
    """All of it, each request when it is due; the cluster ends with the run. The server's metrics
    are read from here meanwhile."""
    path, folder, variables = scenario(tmp_path), tmp_path / "run", environment()
    done = benchsuite("run", path, "--ray", "local", "--out", folder, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    when_gone(variables)
    assert due(folder) == planned(path)
    result = RunResult.load(folder)
    assert result.requests.ok == 40
    (only,) = result.nodes
    assert only.sessions == 40
    assert "server_ttft" in result.summaries
    assert abs(only.clock_offset_s) <= only.clock_uncertainty_s, "one machine has one clock"


def test_a_lost_actor_marks_the_run(tmp_path: Path) -> None:
    """Its part is reported lost; what it wrote before is fetched all the same."""
    folder, variables = tmp_path / "run", environment()
    home = tmp_path / "node"
    home.mkdir()
    path = scenario(tmp_path, **LONG)
    with started(
        "run", path, "--ray", "local", "--out", folder, TMPDIR=str(home), **variables
    ) as process:
        when_written(home, "0.arrows")
        (worker,) = processes(variables, b"ray::NodeActor")
        os.kill(worker, signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 4, said
    when_gone(variables)
    result = RunResult.load(folder)
    assert "worker 0 was lost" in (result.partial or "")
    assert "its part 600 requests" in (result.partial or "")
    assert 0 < result.requests.ok < 600
    assert list(home.iterdir()) == [], "nothing is left on the node"


def test_an_address_where_nobody_listens_is_said_at_once(tmp_path: Path) -> None:
    """Ray itself would try for more than a minute."""
    done = benchsuite("run", scenario(tmp_path), "--ray", "127.0.0.1:1", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "--ray 127.0.0.1:1: " in done.stderr
    assert "Traceback" not in done.stderr


# Two machines, as far as the kernel can play them: a network and a clock of its own for each.

SHIFT_S = 3600  # of the second node's monotonic clock
HEAD, SECOND, SERVER = "10.77.0.1", "10.77.0.2", "http://10.77.0.1:8000"
ROOFLINE = '{"executor": {"type": "roofline", "overhead_s": 0.005}}'
ENDPOINT = f'{{type: openai_chat, url: "{SERVER}", model: tiny}}'


class Network(NamedTuple):
    """Two namespaces, joined; the head of a cluster and a server in the first."""

    first: str
    second: str
    variables: dict[str, str]
    folder: Path

    def inside(self, name: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", name, *command]

    def forget_the_dead(self) -> None:
        """Until the cluster has noticed that its second node is gone."""
        wait = (
            "import ray, time; ray.init('10.77.0.1:6379')\n"
            "while sum(node['Alive'] for node in ray.nodes()) > 1: time.sleep(0.5)"
        )
        subprocess.run(
            self.inside(self.first, sys.executable, "-c", wait),
            env={**os.environ, **self.variables},
            timeout=60,
            check=True,
            capture_output=True,
        )

    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """`benchsuite` on the first node."""
        command = [sys.executable, "-m", "benchsuite", *map(str, arguments)]
        return subprocess.run(
            self.inside(self.first, *command),
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **self.variables},
        )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and `ip`")
    folder = tmp_path_factory.mktemp("network")
    config = folder / "engine.json"
    config.write_text(ROOFLINE)
    first, second = f"bsa{os.getpid()}", f"bsb{os.getpid()}"
    (folder / "tmp").mkdir()
    variables = environment() | {"TMPDIR": str(folder / "tmp")}
    made = Network(first, second, variables, folder)
    serve = (sys.executable, "-m", "reference_engine", "--config", str(config))
    try:
        _join(first, second)
        with subprocess.Popen(
            made.inside(first, *serve, "--host", HEAD, "--port", "8000"), stdout=subprocess.PIPE
        ) as server:
            try:
                assert server.stdout is not None
                assert SERVER.encode() in server.stdout.readline()
                with node(
                    folder,
                    *("--head", f"--node-ip-address={HEAD}", "--port=6379"),
                    *("--include-dashboard=false", f"--temp-dir=/tmp/{first}"),
                    environment=made.variables,
                    within=made.inside(first),
                ):
                    yield made
            finally:
                server.kill()
        when_gone(made.variables)
    finally:
        for name in (first, second):
            subprocess.run(["ip", "netns", "del", name], check=False)
        shutil.rmtree(f"/tmp/{first}", ignore_errors=True)


def _join(first: str, second: str) -> None:
    for name in (first, second):
        _ip(f"netns add {name}")
    _ip(f"link add {first} netns {first} type veth peer name {second} netns {second}")
    for name, address in ((first, HEAD), (second, SECOND)):
        _ip(f"-n {name} addr add {address}/24 dev {name}")
        _ip(f"-n {name} link set lo up")
        _ip(f"-n {name} link set {name} up")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@pytest.fixture
def second(network: Network) -> Iterator["subprocess.Popen[bytes]"]:
    """The other node: a clock that is an hour ahead, and nothing in the folder `only-here`."""
    hidden = network.folder / "only-here"
    hidden.mkdir(exist_ok=True)
    shifted = ("unshare", "--time", "--monotonic", str(SHIFT_S), "--mount", "--fork")
    hiding = ("sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh")
    with node(
        network.folder,
        *(f"--address={HEAD}:6379", f"--node-ip-address={SECOND}"),
        environment=network.variables,
        within=network.inside(network.second, *shifted, *hiding),
    ) as process:
        yield process
    network.forget_the_dead()


@pytest.mark.netns
@pytest.mark.usefixtures("second")
def test_two_machines_send_the_schedule(network: Network, tmp_path: Path) -> None:
    """Each its part, on one clock though theirs are an hour apart."""
    path, folder = scenario(tmp_path, ENDPOINT), tmp_path / "run"
    done = network.run("run", path, "--ray", f"{HEAD}:6379", "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert due(folder) == planned(path)
    table = pq.read_table(folder / "requests.parquet")
    sent_by = dict(zip(table["request_id"].to_pylist(), table["worker"].to_pylist(), strict=True))
    assert sent_by == {i: i % 2 for i in range(40)}
    here, there = RunResult.load(folder).nodes
    assert (here.address, there.address) == (HEAD, SECOND)
    assert abs(here.clock_offset_s) <= here.clock_uncertainty_s
    assert abs(there.clock_offset_s - SHIFT_S) <= there.clock_uncertainty_s
    assert there.send_delay.p99 is not None
    assert abs(there.send_delay.p99) < 1, "its times are of the run's zero, not of its own clock"


@pytest.mark.netns
@pytest.mark.usefixtures("second")
def test_a_file_that_one_node_has_not_is_named(network: Network, tmp_path: Path) -> None:
    """Before anything is sent, with the node's address."""
    named = network.folder / "only-here" / "ca.pem"
    named.touch()
    path = scenario(tmp_path, ENDPOINT.replace("}", f", ca_file: {named}}}"))
    done = network.run("run", path, "--ray", f"{HEAD}:6379", "--out", tmp_path / "run")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"node {SECOND}: has no {named}" in done.stderr
    assert not list((network.folder / "tmp").glob("benchsuite-node-*")), "nothing is left behind"


@pytest.mark.netns
@pytest.mark.usefixtures("second")
def test_an_engine_of_the_run_cannot_be_reached_from_elsewhere(
    network: Network, tmp_path: Path
) -> None:
    """It listens on the loopback of one machine."""
    done = network.run(
        "run", scenario(tmp_path), "--ray", f"{HEAD}:6379", "--out", tmp_path / "run"
    )
    assert done.returncode == 2
    assert f"where {SECOND} cannot reach it" in done.stderr


@pytest.mark.netns
def test_a_machine_that_dies_marks_the_run(
    network: Network, second: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """Its part is reported lost; the other sends all of its own."""
    folder = tmp_path / "run"
    path = scenario(tmp_path, ENDPOINT, **LONG)
    command = [sys.executable, "-m", "benchsuite", "run", path, "--ray", f"{HEAD}:6379"]
    with subprocess.Popen(
        network.inside(network.first, *map(str, command), "--out", str(folder)),
        env={**os.environ, **network.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            when_written(network.folder / "tmp", "1.arrows")
            kill(second)
            _, said = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 4, said
    result = RunResult.load(folder)
    assert f"worker 1 was lost (node {SECOND}: " in (result.partial or "")
    assert result.requests.ok >= 300
