"""The real checkpoint under tests/data and what it is known to say."""

from pathlib import Path
from typing import NamedTuple

import msgspec

FOLDER = Path(__file__).parents[2] / "data" / "stories260k"


class Story(NamedTuple):
    """Token ids of a prompt, and those that follow under greedy decoding."""

    prompt: list[int]
    output: list[int]


def stories() -> list[Story]:
    """Prompts of 1, 14, 32, 4, 73 and 109 tokens, each with 96 that follow."""
    rows = msgspec.json.decode(
        (FOLDER / "greedy.json").read_bytes(), type=list[dict[str, list[int]]]
    )
    return [Story(row["prompt"], row["output"]) for row in rows]
