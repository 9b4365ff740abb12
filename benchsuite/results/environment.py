"""Environment: the machine and the versions that a run was made with; enough to make it again."""

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

LIBRARIES: Final = ("msgspec", "numpy", "pyarrow", "httptools", "aiohttp", "torch")


class Environment(Struct, frozen=True, kw_only=True):
    """Where a run was made. No host name and no user: a result may be published."""

    benchsuite: str
    python: str
    platform: str
    cpu_model: str
    cores: int  # that this process may use
    memory_bytes: int | None
    git_commit: str | None = None  # of benchsuite's own checkout, "-dirty" if it was changed
    libraries: dict[str, str] = {}
    clock_resolution_s: float

    @classmethod
    def capture(cls) -> Self:
        """Look around; takes some milliseconds, so before the run and never during it."""
        return cls(
            benchsuite=_version("benchsuite") or "unknown",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            platform=platform.platform(),
            cpu_model=_cpu_model(),
            cores=_cores(),
            memory_bytes=_memory_bytes(),
            git_commit=_git_commit(),
            libraries={name: found for name in LIBRARIES if (found := _version(name))},
            clock_resolution_s=time.get_clock_info("monotonic").resolution,
        )

    @classmethod
    def unknown(cls) -> Self:
        """Of a run that another tool made somewhere."""
        return cls(
            benchsuite=_version("benchsuite") or "unknown",
            python="unknown",
            platform="unknown",
            cpu_model="unknown",
            cores=0,
            memory_bytes=None,
            clock_resolution_s=0.0,
        )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    """As the kernel calls it; elsewhere as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _git_commit() -> str | None:
    """None where benchsuite was installed rather than cloned, and where there is no git."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
