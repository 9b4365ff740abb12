"""Meters that are there are read; those that are not are not made up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchsuite.loadgen.energy_meters import meters


class Nvml:
    """Stands for pynvml: two boards, of which the second is too old for an energy counter."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, has_driver: bool = True) -> None:
        self.has_driver, self.is_open = has_driver, False
        self.mj: Iterator[int] = iter(range(1_000_000, 9_000_000, 250_000))

    def nvmlInit(self) -> None:  # noqa: N802  its name
        if not self.has_driver:
            raise self.NVMLError("Driver Not Loaded")
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if handle == 1:
            raise self.NVMLError("Not Supported")
        return next(self.mj)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 71_500


def _zone(folder: Path, zone: str, name: str, energy_uj: int) -> Path:
    path = folder / zone
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text("10000000\n")
    return path


def test_a_board_has_its_counter_or_else_its_power(tmp_path: Path) -> None:
    """In joules and watts; the library is let go in the end."""
    nvml = Nvml()
    with meters(tmp_path, nvml) as found:
        assert [(one.source, one.name) for one in found] == [
            ("gpu0", "energy_j"),
            ("gpu1", "power_w"),
        ]
        first, second = found[0].read(), found[0].read()
        assert first is not None
        assert second == pytest.approx(first + 250.0)
        assert found[1].read() == 71.5
    assert not nvml.is_open


def test_without_a_driver_or_a_processor_there_is_nothing(tmp_path: Path) -> None:
    with meters(tmp_path / "none", Nvml(has_driver=False)) as found:
        assert found == []


def test_packages_and_memory_are_read_and_their_parts_are_not(tmp_path: Path) -> None:
    _zone(tmp_path, "intel-rapl:0", "package-0", 2_000_000)
    _zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    _zone(tmp_path, "intel-rapl:0:1", "dram", 500_000)
    _zone(tmp_path, "intel-rapl:1", "psys", 9_000_000)
    with meters(tmp_path, Nvml(has_driver=False)) as found:
        assert {one.source: one.read() for one in found} == {"cpu0": 2.0, "cpu0_dram": 0.5}


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 9_500_000)
    with meters(tmp_path, Nvml(has_driver=False)) as (meter,):
        assert meter.read() == 9.5
        (zone / "energy_uj").write_text("250000\n")
        assert meter.read() == 10.25


def test_what_may_not_be_read_is_not_there(tmp_path: Path) -> None:
    """A zone whose counter is gone, as one that only root may open."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").unlink()
    with meters(tmp_path, Nvml(has_driver=False)) as found:
        assert found == []
