"""The gated feed-forward part of a layer: SwiGLU (Shazeer, arXiv:2002.05202)."""

from torch import Tensor
from torch.nn.functional import silu


def swiglu(x: Tensor, gate_up: Tensor) -> Tensor:
    """silu(x W_gate) * x W_up, [num_tokens, intermediate]; the caller multiplies by W_down.

    `x` [num_tokens, hidden]; `gate_up` [hidden, 2 * intermediate], gate first.
    """
    gate, up = (x @ gate_up).chunk(2, dim=-1)
    return silu(gate).mul_(up)
