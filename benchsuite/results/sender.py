"""Sender: what one of several machines that sent a run did of its part, and how late. Pure."""

from collections.abc import Iterable
from functools import partial
from typing import Final, Self

import numpy as np
from msgspec import Struct

from benchsuite.metrics.generator import client_lag, send_delay
from benchsuite.records.node import Node
from benchsuite.records.table import FloatArray, RunData
from benchsuite.results.spread import Spread

CLOCK_S: Final = 0.005  # beyond which curves over time of several machines are not laid over


class Sender(Struct, frozen=True, kw_only=True):
    """Offsets are its monotonic clock minus that of the machine where the run was started."""

    worker: int
    address: str
    sessions: int  # sent
    asked_per_s: float | None  # sessions of its part, from the first due to the last
    sent_per_s: float | None  # as many as were sent
    send_delay: Spread  # sent - due; n is 0 in a closed loop, where nothing is due
    client_lag: Spread  # seen by the program - arrived in the kernel; n is 0 without kernel stamps
    clock_offset_s: float
    clock_uncertainty_s: float
    clock_drift_s: float | None  # how far the offset moved until the end; None: not known

    @classmethod
    def of(cls, data: RunData, node: Node, num_nodes: int) -> Self:
        its = data.worker == node.worker
        sent_s = data.sent_s[its & (data.turn == 0) & ~np.isnan(data.sent_s)]
        return cls(
            worker=node.worker,
            address=node.address,
            sessions=len(sent_s),
            asked_per_s=_rate(data.planned_due_s[node.worker :: num_nodes]),
            sent_per_s=_rate(np.sort(sent_s)),
            send_delay=Spread.of(send_delay(data)[its]),
            client_lag=Spread.of_known(data.gathered(partial(_lag_s, worker=node.worker))),
            clock_offset_s=node.clock_offset_s,
            clock_uncertainty_s=node.clock_uncertainty_s,
            clock_drift_s=node.clock_drift_s,
        )

    @property
    def clock_s(self) -> float:
        """Its times are no further than this from the first machine's."""
        return self.clock_uncertainty_s + abs(self.clock_drift_s or 0.0)

    def describe(self) -> str:
        """For people."""
        asked = "" if self.asked_per_s is None else f" of {self.asked_per_s:.4g}"
        rate = "" if self.sent_per_s is None else f" at {self.sent_per_s:.4g}{asked}/s"
        late = self.send_delay.p99
        delay = "" if late is None else f", p99 of send delay {late * 1e3:.3g} ms"
        return (
            f"{self.address}: {self.sessions:,} sessions{rate}{delay}, "
            f"clock within {self.clock_s * 1e3:.2g} ms"
        )


def _lag_s(data: RunData, worker: int) -> FloatArray:
    """Of the chunks that this one received."""
    found: FloatArray = client_lag(data)[data.per_chunk(data.worker == worker)]
    return found


def _rate(at_s: FloatArray) -> float | None:
    """Per second, of ascending moments; None for fewer than two."""
    span_s = float(at_s[-1] - at_s[0]) if len(at_s) else 0.0
    return (len(at_s) - 1) / span_s if span_s > 0 else None


def senders(data: RunData, nodes: tuple[Node, ...]) -> tuple[Sender, ...]:
    return tuple(Sender.of(data, node, len(nodes)) for node in nodes)


def notes(found: Iterable[Sender], most_late_s: float) -> tuple[str, ...]:
    """What a result must warn of. `most_late_s`: how late 99 % of requests may leave."""
    said = []
    for one in found:
        late_s = one.send_delay.p99 or 0.0
        if late_s > most_late_s:
            said.append(f"{one.address} sent late: p99 {late_s * 1e3:.3g} ms")
        if one.clock_s > CLOCK_S:
            said.append(
                f"{one.address}: its clock is known within {one.clock_s * 1e3:.2g} ms; curves over "
                "time are no sharper than that (latencies are: each is of one clock)"
            )
    return tuple(said)
