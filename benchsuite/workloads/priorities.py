"""Priorities of requests as a process: the same for all, drawn anew for each, or a Markov chain.

Both kinds of change are FastSwitch's (arXiv:2411.18424), since no public trace has priorities.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Annotated

from msgspec import Meta
from numpy.random import Generator

from benchsuite.spec import Positive, Share, Spec

Levels = Annotated[tuple[int, ...], Meta(min_length=1)]


class RandomPriority(Spec, frozen=True, tag="random"):
    """Each request has one of `levels`, whatever the others have."""

    levels: Levels
    weights: tuple[Positive, ...] | None = None  # one for each level; unset: equally often

    def __post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != len(self.levels):
            raise ValueError(f"{len(self.levels)} levels but {len(self.weights)} weights")

    def draw(self, rng: Generator) -> Iterator[int]:
        weights = self.weights or (1.0,) * len(self.levels)
        shares = [weight / sum(weights) for weight in weights]
        while True:
            yield self.levels[int(rng.choice(len(self.levels), p=shares))]


class MarkovPriority(Spec, frozen=True, tag="markov"):
    """A request has the priority of the one before it with probability `stay`, or else another.

    The chain runs through the requests of a part in order, turns of a session one after the other.
    All levels are equally frequent in the long run.
    """

    levels: Annotated[tuple[int, ...], Meta(min_length=2)]
    stay: Share  # probability of the same level once more

    def draw(self, rng: Generator) -> Iterator[int]:
        num = len(self.levels)
        at = int(rng.integers(num))
        while True:
            yield self.levels[at]
            if rng.random() >= self.stay:
                at = (at + int(rng.integers(1, num))) % num


Priorities = RandomPriority | MarkovPriority


def drawn(priority: int | Priorities | None, rng: Generator) -> Iterator[int | None]:
    """One priority after the other, without end."""
    if isinstance(priority, int | None):
        return repeat(priority)
    return priority.draw(rng)
