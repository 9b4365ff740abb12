"""Named random streams from one seed, so that changing one choice leaves the others alone."""

import hashlib

import numpy as np
from numpy.random import Generator, SeedSequence


def rng(seed: int, *names: str | int) -> Generator:
    """The generator that belongs to (seed, names): the same in every process and on every machine.

    `rng(1, "arrivals")` and `rng(1, "lengths")` are independent; `rng(1, "prompt", 17)` belongs to
    request 17 alone. Python's `hash()` is never used: it differs between processes.
    """
    return np.random.Generator(np.random.PCG64(SeedSequence(child(seed, *names))))


def child(seed: int, *names: str | int) -> int:
    """A seed of its own for a part that draws by names of its own: `child(1, "part", "chat")`."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return int.from_bytes(digest, "little")
