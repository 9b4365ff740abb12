"""A small transformer that turns patches of an image, or frames of sound, into prompt tokens.

After ViT (Dosovitskiy et al., arXiv:2010.11929): rows are projected, get sinusoidal positions, and
attend to each other; four neighbours then become one token of the decoder's width, as in Qwen2-VL
(arXiv:2409.12191). Weights are random, from the seed: the cost of such an encoder, not its sight.
"""

from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from reference_engine.media import MERGED, Media
from reference_engine.specs import EncoderShape


class _Layer(NamedTuple):
    qkv: Tensor  # [hidden, 3 * hidden]
    output: Tensor  # [hidden, hidden]
    up: Tensor  # [hidden, 4 * hidden]
    down: Tensor  # [4 * hidden, hidden]


class Encoder:
    """One for both kinds, with an input projection each."""

    def __init__(
        self,
        shape: EncoderShape,
        output_size: int,
        seed: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)

        def random(rows: int, columns: int) -> Tensor:
            values: Tensor = torch.randn(rows, columns, generator=generator) * rows**-0.5
            return values.to(device, dtype)

        size = shape.hidden_size
        self._shape, self._dtype, self._device = shape, dtype, device
        self._inputs = {
            "image": random(shape.patch_size, size),
            "audio": random(shape.frame_size, size),
        }
        self._layers = [
            _Layer(
                qkv=random(size, 3 * size),
                output=random(size, size),
                up=random(size, 4 * size),
                down=random(4 * size, size),
            )
            for _ in range(shape.num_layers)
        ]
        self._merge = random(MERGED * size, output_size)

    def encode(self, media: Media) -> Tensor:
        """[num_tokens, output_size]."""
        rows = torch.from_numpy(media.features).to(self._device, self._dtype)
        hidden = rows @ self._inputs[media.kind]
        hidden = hidden + _positions(len(rows), self._shape.hidden_size).to(hidden)
        for layer in self._layers:
            hidden = hidden + self._attend(_normalise(hidden), layer)
            hidden = hidden + gelu(_normalise(hidden) @ layer.up) @ layer.down
        return _normalise(hidden).reshape(media.num_tokens, -1) @ self._merge

    def _attend(self, hidden: Tensor, layer: _Layer) -> Tensor:
        """Every row to every row."""
        rows = hidden.shape[0]
        heads = (hidden @ layer.qkv).view(rows, 3, self._shape.num_heads, -1).permute(1, 2, 0, 3)
        mixed = scaled_dot_product_attention(*heads[:, None])
        return mixed[0].transpose(0, 1).reshape(rows, -1) @ layer.output


def _normalise(hidden: Tensor) -> Tensor:
    return layer_norm(hidden, hidden.shape[-1:])


def _positions(num_rows: int, size: int) -> Tensor:
    """Sines and cosines (Vaswani et al., 2017), [num_rows, size]."""
    rates = torch.exp(torch.arange(0, size, 2) * (-log(10_000.0) / size))
    angles = torch.arange(num_rows)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)
