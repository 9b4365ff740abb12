"""Energy meters of this machine: NVIDIA boards by NVML, processors by RAPL. What cannot be read is
not there; nothing is guessed.

NVML's energy counter rises since the driver was loaded (Volta and later); where a board has none
its power is read, which is an average over the sensor's own window. RAPL is what Linux shows under
`powercap`, for Intel and AMD; most systems let only root read it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

POWERCAP: Final = Path("/sys/class/powercap")


class Meter(NamedTuple):
    """One quantity of one device."""

    source: str  # gpu0, cpu0 ...
    name: str  # energy_j, power_w
    read: Callable[[], float | None]  # None: it could not be read this time


@contextmanager
def meters(powercap: Path = POWERCAP, nvml: Any = None) -> Iterator[list[Meter]]:
    """All that can be read here; `nvml` is the module `pynvml`, or what stands for it."""
    with _boards(_pynvml() if nvml is None else nvml) as boards:
        yield boards + _processors(powercap)


def _pynvml() -> Any:
    """The extra `gpu`; None where it is not installed."""
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


@contextmanager
def _boards(nvml: Any) -> Iterator[list[Meter]]:
    if nvml is None:
        yield []
        return
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        yield []  # no driver, or no right to ask it
        return
    try:
        yield [
            meter
            for index in range(nvml.nvmlDeviceGetCount())
            if (meter := _board(nvml, index)) is not None
        ]
    finally:
        nvml.nvmlShutdown()


def _board(nvml: Any, index: int) -> Meter | None:
    """The counter of a board, else its power."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def millis(ask: Callable[[Any], int]) -> Callable[[], float | None]:
        def read() -> float | None:
            try:
                return float(ask(handle)) / 1e3
            except nvml.NVMLError:
                return None

        return read

    found = (
        Meter(f"gpu{index}", "energy_j", millis(nvml.nvmlDeviceGetTotalEnergyConsumption)),
        Meter(f"gpu{index}", "power_w", millis(nvml.nvmlDeviceGetPowerUsage)),
    )
    return next((meter for meter in found if meter.read() is not None), None)


def _processors(powercap: Path) -> list[Meter]:
    """Packages and the memory beside them; cores and the like are parts of a package."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        name = _text(zone / "name") or ""
        number = zone.name.split(":")[1]
        if name.startswith("package"):
            source = f"cpu{number}"
        elif name == "dram":
            source = f"cpu{number}_dram"
        else:
            continue
        read = _counter(zone)
        if read() is not None:
            found.append(Meter(source, "energy_j", read))
    return found


def _counter(zone: Path) -> Callable[[], float | None]:
    """Joules, rising: where the zone's counter has begun anew from 0 its range is added."""
    last, turned = 0, 0

    def read() -> float | None:
        nonlocal last, turned
        now, most = _text(zone / "energy_uj"), _text(zone / "max_energy_range_uj")
        if now is None:
            return None
        if int(now) < last:
            turned += int(most or 0)
        last = int(now)
        return (turned + last) / 1e6

    return read


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
