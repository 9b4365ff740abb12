"""What random weights cannot decide, drawn instead: whether a tool is called, how long to think.

A draw is a pure function of the seeds and the prompt: the same conversation goes the same way in
whatever order requests arrive, and a longer one draws anew, so a loop of tool calls ends.
"""

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from math import exp
from statistics import NormalDist
from typing import Annotated, Literal

from msgspec import Meta

from reference_engine.specs import Count, Spec

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""OpenAI's `reasoning_effort`; engines know `max` beside it."""


class Behaviour(Spec, frozen=True):
    """Tool calls and thinking of a model that has learnt neither.

    With `tool_choice: auto`, `tool_call_share` of the answers are tool calls. A thinking phase has
    a log-normal number of tokens: its median is that of the request's effort, `spread` the standard
    deviation of its logarithm (0: always the median). `effort` is that of requests that name none.
    """

    tool_call_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    effort: Effort = "none"
    minimal_tokens: Count = 16
    low_tokens: Count = 64
    medium_tokens: Count = 256
    high_tokens: Count = 1024
    xhigh_tokens: Count = 2048
    spread: Annotated[float, Meta(ge=0)] = 0.5

    def calls_tool(self, seed: int, prompt_ids: Sequence[int]) -> bool:
        """Whether the answer to this prompt is a tool call."""
        return uniform("tool", seed, prompt_ids) < self.tool_call_share

    def reasoning_tokens(self, effort: Effort, seed: int, prompt_ids: Sequence[int]) -> int:
        """Tokens to think for: 0 without effort, else at least 1."""
        medians = {
            "minimal": self.minimal_tokens,
            "low": self.low_tokens,
            "medium": self.medium_tokens,
            "high": self.high_tokens,
            "xhigh": self.xhigh_tokens,
            "max": self.xhigh_tokens,
        }
        if effort == "none":
            return 0
        deviation = NormalDist().inv_cdf(uniform("think", seed, prompt_ids))
        return max(1, round(medians[effort] * exp(self.spread * deviation)))


def uniform(what: str, seed: int, prompt_ids: Sequence[int]) -> float:
    """A number in (0, 1) for this draw: 52 bits of a BLAKE2b digest, and a half."""
    told = f"{what} {seed} ".encode() + array("I", prompt_ids).tobytes()
    return (int.from_bytes(blake2b(told, digest_size=8).digest()) // 2**12 + 0.5) / 2**52
