"""What is refused before a cluster is looked for. Clusters: tests/end_to_end/test_ray.py."""

import importlib
import sys
from pathlib import Path

import pytest

from benchsuite.errors import ScenarioError
from tests.end_to_end.commands import benchsuite, scenario

MODULE = "benchsuite.loadgen.ray_workers"


def test_the_extra_is_named_where_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A usage error, not a traceback."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    with pytest.raises(ScenarioError, match=r'pip install "benchsuite\[distributed\]"'):
        importlib.import_module(MODULE)


def test_virtual_time_is_not_spread_over_machines(tmp_path: Path) -> None:
    """It runs in one process."""
    pytest.importorskip("ray", reason="needs the extra `distributed`")
    path = scenario(tmp_path, "{type: in_process, engine: {executor: {type: roofline}}}")
    done = benchsuite("run", path, "--ray", "local", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr == "benchsuite: --ray: virtual time runs in one process\n"


def test_a_driver_outside_the_cluster_is_told_where_to_go(tmp_path: Path) -> None:
    """Ray's client protocol leaves the driver on another machine, whose clock is no node's."""
    pytest.importorskip("ray", reason="needs the extra `distributed`")
    done = benchsuite("run", scenario(tmp_path), "--ray", "ray://x:10001", "--out", tmp_path / "r")
    assert done.returncode == 2
    assert "start benchsuite on a node of the cluster, with --ray auto" in done.stderr
