"""A matrix of weights in the form in which it multiplies: as numbers, or as 8 bits a weight.

Eight bits: a scale for each output, and for each call one scale and zero point for all inputs
("dynamic" quantisation; Jacob et al., arXiv:1712.05877), with products summed exactly in integers.
Of a step's time on a CPU most is spent reading weights, so a quarter of the bytes is what counts.
"""

import warnings
from typing import Protocol

import torch
from torch import Tensor


class Linear(Protocol):
    """x W (+ bias) for `x` [num_tokens, in]."""

    def __call__(self, x: Tensor) -> Tensor:
        """[num_tokens, out], a new tensor."""
        ...

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """`residual` + x W (+ bias), a new tensor."""
        ...


class Dense:
    """Weights as they are, [in, out]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        if self._bias is None:
            return x @ self._weight
        return torch.addmm(self._bias, x, self._weight)

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        if self._bias is not None:
            residual = residual + self._bias
        return torch.addmm(residual, x, self._weight)


class Int8:
    """Weights of 8 bits, symmetric, a scale for each output; CPU only.

    The inputs' scale is one for the whole call: an answer may depend, in its last digits, on what
    else is in the batch.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Quantise `weight` [in, out], float32."""
        by_output = weight.t().contiguous()
        scales = by_output.abs().amax(1).clamp_min_(torch.finfo(torch.float32).tiny).double() / 127
        zeros = torch.zeros(by_output.shape[0], dtype=torch.long)
        with warnings.catch_warnings():
            # Quantised tensors are to go from torch one day; no other kernel is fast here yet.
            warnings.filterwarnings(
                "ignore", message=".*quantize_per_channel", category=UserWarning
            )
            quantised = torch.quantize_per_channel(by_output, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantised, bias)

    def __call__(self, x: Tensor) -> Tensor:
        # 7 bits of the inputs: without VNNI two products are summed in 16 bits and would overflow.
        product: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)
        return product

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        return self(x).add_(residual)
