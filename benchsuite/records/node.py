"""Node: a machine that sent a part of a run, and how well its clock is known."""

from msgspec import Struct


class Node(Struct, frozen=True, kw_only=True):
    """Offsets are its monotonic clock minus that of the machine where the run was started."""

    worker: int
    address: str  # as the cluster calls it
    clock_offset_s: float  # when the run began
    clock_uncertainty_s: float  # the true offset lies within clock_offset_s -+ this
    clock_drift_s: float | None = None  # how far the offset moved until the end; None: not known
