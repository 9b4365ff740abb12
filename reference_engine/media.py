"""An image or a recording as the encoder reads it. Knows nothing of files, text or tensors."""

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

MERGED: Final = 4
"""Feature rows that become one token: 2 x 2 patches of an image, 4 frames of sound."""


class Media(NamedTuple):
    """`features` [MERGED * num_tokens, patch or frame size]; equal content has an equal `key`."""

    kind: Literal["image", "audio"]
    key: bytes
    features: NDArray[np.float32]

    @property
    def num_tokens(self) -> int:
        """Tokens that it takes in a prompt."""
        return len(self.features) // MERGED


class Placed(NamedTuple):
    """Where in the prompt its tokens stand: [start, start + num_tokens)."""

    start: int
    media: Media
