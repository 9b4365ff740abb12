"""The gated feed-forward part of a layer: SwiGLU (Shazeer, arXiv:2002.05202)."""

from torch import Tensor
from torch.nn.functional import silu


def swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """(silu(x W_gate) * x W_up) W_down.

    `x` [num_tokens, hidden]; `gate_up` [hidden, 2 * intermediate], gate first;
    `down` [intermediate, hidden].
    """
    gate, up = (x @ gate_up).chunk(2, dim=-1)
    return silu(gate).mul_(up) @ down
