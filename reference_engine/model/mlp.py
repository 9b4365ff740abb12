"""The feed-forward part of a layer: SwiGLU (Shazeer, arXiv:2002.05202), or experts of that kind.

Experts: a router picks some for each token and weighs their outputs (Shazeer et al.,
arXiv:1701.06538; Jiang et al., arXiv:2401.04088).
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import silu

from reference_engine.model.linear import Linear


class FeedForward(Protocol):
    """What stands between the second norm and the next layer."""

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """`residual` [num_tokens, hidden] + f(x), a new tensor; `x` is the normalised residual."""
        ...


Gate = Callable[[Tensor, Tensor], Tensor]
"""Of gate and up, both free to be overwritten, what goes down."""


def silu_gate(gate: Tensor, up: Tensor) -> Tensor:
    return silu(gate).mul_(up)


def clamped_gate(alpha: float, limit: float) -> Gate:
    """gate sigmoid(alpha gate) (up + 1), gate at most `limit` and up within it: gpt-oss (OpenAI,
    arXiv:2508.10925).
    """

    def gated(gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.clamp_(max=limit), up.clamp_(-limit, limit)
        return torch.sigmoid(alpha * gate).mul_(gate).mul_(up.add_(1))

    return gated


class SwiGlu:
    """gated(x W_gate, x W_up) W_down; `gate_up` is both matrices, gate first."""

    def __init__(self, gate_up: Linear, down: Linear, gated: Gate = silu_gate) -> None:
        self._gate_up, self._down, self._gate = gate_up, down, gated

    def __call__(self, x: Tensor) -> Tensor:
        return self._down(self._gated(x))

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        return self._down.add(residual, self._gated(x))

    def _gated(self, x: Tensor) -> Tensor:
        gate, up = self._gate_up(x).chunk(2, dim=-1)
        return self._gate(gate, up)


class Experts:
    """For each token the `per_token` likeliest of `experts`, weighted by their probability.

    With `renormalise` the weights of those picked sum to 1.
    """

    def __init__(
        self, router: Linear, experts: Seq[SwiGlu], per_token: int, renormalise: bool
    ) -> None:
        """`router` gives each expert's score, before softmax."""
        self._router, self._experts = router, experts
        self._per_token, self._renormalise = per_token, renormalise

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """Tokens are sorted by expert, so each expert's weights are read once, and only if picked.

        How many tokens an expert has must be known on the host: one synchronisation on a GPU.
        """
        shares, picked = self._router(x).float().softmax(-1).topk(self._per_token)
        if self._renormalise:
            shares = shares / shares.sum(-1, keepdim=True)
        flat = picked.flatten()
        counts: list[int] = torch.bincount(flat, minlength=len(self._experts)).tolist()
        weights = shares.to(x.dtype).flatten()
        output = residual.clone()
        by_expert = torch.split(flat.argsort(), counts)
        for expert, places in zip(self._experts, by_expert, strict=True):
            if len(places):
                rows = places // self._per_token
                output.index_add_(0, rows, expert(x[rows]).mul_(weights[places, None]))
        return output
