"""In which order the runs of both sides are made, with which seeds, and when one may stop.

Pure functions of a stored seed. Two pairs make a block, ABBA or BAAB by chance, so that a machine
that warms up or throttles favours no side. Both runs of a pair have the same seed, pairs differ.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from benchsuite.streams import child, rng

Side = Literal["baseline", "now"]
FIRST_LOOK: Final = 0.5  # of all pairs


class Turn(NamedTuple):
    pair: int  # from 0
    side: Side

    @property
    def name(self) -> str:
        return f"{self.pair:02d}-{self.side}"


def turns(pairs: int, seed: int) -> tuple[Turn, ...]:
    def dealt() -> Iterator[Turn]:
        for pair in range(pairs):
            is_baseline_first = bool(rng(seed, "gate", pair // 2).integers(2)) == (pair % 2 == 0)
            sides: tuple[Side, Side] = ("baseline", "now")
            for side in sides if is_baseline_first else sides[::-1]:
                yield Turn(pair, side)

    return tuple(dealt())


def seed_of(seed: int, pair: int) -> int:
    """Of both runs of a pair; the first pair has the scenario's own."""
    return seed if pair == 0 else child(seed, "gate", pair) % 2**31


def spendable(made: int, pairs: int, alpha: float, is_sequential: bool) -> float:
    """Of `alpha`, what a look after `made` of `pairs` may spend; 0: no look.

    Without early stopping there is one look, at the end. With it, there is one after each pair from
    the half on, and the parts add up to alpha, so that by the union bound the chance of any false
    alarm is at most alpha however the looks depend on each other. By look k a share (k / pairs)^3
    is spent: little is given away early (Lan and DeMets 1983 with Kim and DeMets' power family).
    """
    if made == pairs:
        return alpha * (1 - _share(made - 1, pairs)) if is_sequential else alpha
    if not is_sequential or made < FIRST_LOOK * pairs:
        return 0.0
    return alpha * (_share(made, pairs) - _share(made - 1, pairs))


def _share(made: int, pairs: int) -> float:
    return 0.0 if made < FIRST_LOOK * pairs else (made / pairs) ** 3
