"""The environment: enough to make a run again, nothing that names a person or a machine."""

import socket
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchsuite.results import environment
from benchsuite.results.environment import Environment


def test_it_knows_the_machine_and_the_versions() -> None:
    found = Environment.capture()
    assert found.cores >= 1
    assert found.cpu_model
    assert found.libraries["numpy"] == np.__version__
    assert 0 < found.clock_resolution_s < 1e-3


def test_it_names_neither_host_nor_home() -> None:
    text = msgspec.json.encode(Environment.capture()).decode()
    assert f'"{socket.gethostname()}"' not in text
    assert str(Path.home()) + "/" not in text


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert Environment.capture().git_commit is None


def test_outside_a_checkout_there_is_no_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installed copy inside somebody else's repository has not that one's commit."""
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "a" / "b" / "environment.py"))
    assert Environment.capture().git_commit is None
