"""Programmatic dependent launch: a kernel's blocks take their places while the one before ends.

Needs Hopper or later. A kernel launched so calls `gdc_wait` before it reads or writes what others
do; in a graph of hundreds of short kernels that saves about a microsecond each.
"""

from typing import Any, Final

import torch

OVERLAPS: Final = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (9, 0)

OVERLAPPING: Final[dict[str, Any]] = (
    {"overlaps": True, "launch_pdl": True} if OVERLAPS else {"overlaps": False}
)
"""Keyword arguments of a launch, for kernels that take part."""
