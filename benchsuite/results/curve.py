"""Curve: how wrong this machine's load client was shown to be, by load. What a selftest leaves.

One file per machine and version in the user's state folder, so that a run can say whether its load
was ever shown to be measured well. Written by `benchsuite selftest`, copied into a run's facts.
"""

import hashlib
import os
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal, Self

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from benchsuite.results.environment import Environment
from benchsuite.results.spread import Spread

WITHIN_S: Final = 0.001  # 99 % of token stamps, and of requests, must lie within this
DELIVERED: Final = 0.995  # share of the tokens per second, and of the requests, that were asked
MARGIN: Final = 1.1  # up to this much more is still the same load
STATE_VARIABLE: Final = "BENCHSUITE_STATE"


class Machine(Struct, frozen=True, kw_only=True):
    """What a curve is a curve of. On another one it says nothing."""

    benchsuite: str
    python: str
    platform: str  # kernel included
    cpu_model: str
    cores: int

    @classmethod
    def of(cls, environment: Environment) -> Self:
        return cls(
            benchsuite=environment.benchsuite,
            python=environment.python,
            platform=environment.platform,
            cpu_model=environment.cpu_model,
            cores=environment.cores,
        )

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


class Load(Struct, frozen=True):
    """What one sending process has to carry."""

    streams: float
    tokens_per_s: float
    requests_per_s: float

    def is_beyond(self, shown: "Load") -> bool:
        """In anything."""
        pairs = zip(astuple(self), astuple(shown), strict=True)
        return any(asked > most * MARGIN for asked, most in pairs)


class TokenPoint(Struct, frozen=True, kw_only=True):
    """So many streams at once, each at so many tokens per second. Errors: stamp - true emission."""

    streams: int
    asked_tokens_per_s: float | None  # of all streams; None: as fast as possible
    tokens_per_s: float  # that came, first to last token
    stamp_source: Literal["kernel", "user"]  # of what a record holds
    stamp_error: Spread
    user_error: Spread  # what the program's own stamp would have shown
    cpu_per_token_s: float  # of the client's process
    shared: float  # share of tokens that came in one read with an earlier one
    emitter_lateness: Spread  # true emission - when it was due: not the client's error
    num_blocked: int  # times that the emitter had to wait for the client
    longest_stall_s: float | None
    others_cpu: float | None  # cores that neither the client nor the emitter used

    @property
    def delivered(self) -> float | None:
        """Share of the asked tokens per second."""
        asked = self.asked_tokens_per_s
        return None if asked is None else self.tokens_per_s / asked

    @property
    def load(self) -> Load:
        return Load(self.streams, self.asked_tokens_per_s or self.tokens_per_s, 0.0)

    @property
    def is_trusted(self) -> bool:
        return _within(self.stamp_error) and _enough(self.delivered)


class RequestPoint(Struct, frozen=True, kw_only=True):
    """Requests at so many per second, Poisson, of few tokens."""

    asked_per_s: float  # as drawn: first to last due time
    sent_per_s: float
    send_delay: Spread  # sent - due, without the opening of a connection
    sent_error: Spread  # the server's kernel got it - the client's stamp of having sent it
    cpu_per_request_s: float  # waiting by spinning included
    others_cpu: float | None

    @property
    def delivered(self) -> float:
        return self.sent_per_s / self.asked_per_s

    @property
    def is_trusted(self) -> bool:
        return _within(self.send_delay) and abs(self.delivered - 1) <= 1 - DELIVERED


def _within(error: Spread) -> bool:
    return error.p99 is not None and error.p99 <= WITHIN_S


def _enough(share: float | None) -> bool:
    return share is not None and share >= DELIVERED


class Curve(Struct, frozen=True, kw_only=True):
    """A selftest. Points ascend in their load."""

    schema_version: str = "1.0"
    made_at: str  # UTC, ISO 8601
    is_quick: bool
    machine: Machine
    tokens: tuple[TokenPoint, ...]
    requests: tuple[RequestPoint, ...]

    @property
    def trusted(self) -> Load:
        """The largest load up to which every point was good enough; zero where the first was not.

        Good enough: 99 % within WITHIN_S, and DELIVERED of what was asked.
        """
        paced = [point for point in self.tokens if point.asked_tokens_per_s is not None]
        tokens = list(takewhile(lambda point: point.is_trusted, paced))
        requests = list(takewhile(lambda point: point.is_trusted, self.requests))
        return Load(
            max((point.load.streams for point in tokens), default=0.0),
            max((point.load.tokens_per_s for point in tokens), default=0.0),
            max((point.asked_per_s for point in requests), default=0.0),
        )

    def stamp_error_s(self, load: Load, source: str) -> float | None:
        """p99 at the smallest paced point that is as large as `load`, or else at the largest; None
        where these stamps were not tested."""
        tested = [point for point in self.tokens if point.stamp_source == source]
        paced = [point for point in tested if point.asked_tokens_per_s is not None]
        asked = Load(load.streams, load.tokens_per_s, 0.0)
        enough = (point for point in paced if not asked.is_beyond(point.load))
        return _p99(point.stamp_error for point in (*enough, *paced[-1:]))

    def sent_error_s(self, load: Load) -> float | None:
        """p99 of how much later than its stamp a request was in the server's kernel."""
        points = self.requests
        enough = (point for point in points if point.asked_per_s * MARGIN >= load.requests_per_s)
        return _p99(point.sent_error for point in (*enough, *points[-1:]))

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def save(self, path: Path) -> None:
        """All or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_bytes(self.to_json())
        os.replace(draft, path)

    def keep(self) -> Path | None:
        """Save it for the runs of this machine; a quick one does not take a full one's place.
        Returns where, None if it was not kept."""
        before = last(self.machine)
        if self.is_quick and before is not None and not before.is_quick:
            return None
        path = state_path(self.machine)
        self.save(path)
        return path


def _p99(errors: Iterable[Spread]) -> float | None:
    """Of the first."""
    return next((error.p99 for error in errors), None)


def state_path(machine: Machine) -> Path:
    """Where this machine's curve is kept: $BENCHSUITE_STATE, or the user's state folder."""
    folder = os.environ.get(STATE_VARIABLE)
    if not folder:
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = str(Path(home) / "benchsuite")
    return Path(folder) / f"selftest-{machine.fingerprint}.json"


def last(machine: Machine) -> Curve | None:
    """The last selftest of this machine by this version; None if there is none to be read."""
    try:
        return msgspec.json.decode(state_path(machine).read_bytes(), type=Curve)
    except (OSError, RuntimeError, msgspec.DecodeError):
        # Not made, not readable, of another schema, or nobody's home: all the same to a run.
        return None
