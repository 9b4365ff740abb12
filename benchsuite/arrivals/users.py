"""A fixed number of users who read what they got before they ask again."""

from typing import Literal

from numpy.random import Generator

from benchsuite.arrivals.base import FloatArray
from benchsuite.spec import Count, LongerThan0, Seconds, Spec


class Users(Spec, frozen=True, tag="users"):
    """`users` people, each with one session at a time and time to think before the next.

    Thinking lasts an exponential time with mean `think` (or always so long: `spacing: even`). A
    user's next session is due when the last one has ended and the thinking is done; latency counts
    from there. The users' first sessions are due evenly within `arrive_within` (unset: `think`).
    """

    users: Count
    think: LongerThan0
    spacing: Literal["exponential", "even"] = "exponential"
    arrive_within: Seconds | None = None

    def due_times(self, n: int, rng: Generator, recorded_s: FloatArray | None) -> None:
        """None: when a session is due depends on how the one before it went."""

    def think_s(self, rng: Generator) -> float:
        """The time before one session; takes one random number."""
        drawn = rng.exponential(self.think)
        return drawn if self.spacing == "exponential" else self.think

    def first_due_s(self, user: int) -> float:
        """When user number `user` comes."""
        within_s = self.think if self.arrive_within is None else self.arrive_within
        return within_s * user / self.users
