"""Energy of the machine is read beside the requests, if it is the server's."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.loadgen import telemetry
from benchsuite.loadgen.energy_meters import Meter
from benchsuite.records.telemetry import FILE_NAME, keep, read
from benchsuite.scenario import Telemetry

HERE = OpenAIChat(url="http://localhost:8000", model="m")
ELSEWHERE = OpenAIChat(url="http://llm.example.com", model="m")


@pytest.fixture(autouse=True)
def _board(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that takes 5 J between two readings, and a processor that cannot be read."""

    @contextmanager
    def found() -> Iterator[list[Meter]]:
        joules = count(100, 5)
        yield [
            Meter("gpu0", "energy_j", lambda: float(next(joules))),
            Meter("cpu0", "energy_j", lambda: None),
        ]

    monkeypatch.setattr(telemetry, "meters", found)


async def _read(wanted: Telemetry, endpoint: OpenAIChat, folder: Path) -> dict[str, list[float]]:
    (folder / "spool").mkdir()
    async with telemetry.metering(wanted, endpoint, folder / "spool"):
        pass
    keep(folder / "spool", folder / FILE_NAME, 0.0)
    return {name: rows[:, 1].tolist() for name, rows in read(folder / FILE_NAME).items()}


async def test_a_reading_before_and_one_after(tmp_path: Path) -> None:
    """What cannot be read is missing, not zero."""
    found = await _read(Telemetry(), HERE, tmp_path)
    assert found.keys() == {"gpu0.energy_j"}
    assert found["gpu0.energy_j"] == [100.0, 105.0]


@pytest.mark.parametrize(
    ("wanted", "endpoint", "is_read"),
    [
        (Telemetry(), ELSEWHERE, False),
        (Telemetry(energy="on"), ELSEWHERE, True),
        (Telemetry(energy="off"), HERE, False),
    ],
)
async def test_of_a_server_elsewhere_only_if_it_is_asked_for(
    wanted: Telemetry, endpoint: OpenAIChat, is_read: bool, tmp_path: Path
) -> None:
    """This machine's energy is not that of a server elsewhere."""
    assert bool(await _read(wanted, endpoint, tmp_path)) == is_read
