"""Accelerators: what one can do at best, from its maker's data sheet. Numbers only.

A peak with 2:4 sparsity is twice the dense one and is reached by no dense model. Papers mix both;
here each is marked, and whoever divides by one says which.
"""

from typing import Final, Literal

from benchsuite.spec import Positive, Spec

Peak = Literal["dense", "sparse"]


class Accelerator(Spec, frozen=True, kw_only=True):
    """One accelerator, at 16 bit."""

    dense_flops_per_s: Positive  # of matrix products, accumulated in float32
    sparse_flops_per_s: Positive | None = None  # with 2:4 sparsity, where there is such a thing
    bytes_per_s: Positive  # from its memory
    memory_bytes: Positive | None = None

    def flops_per_byte(self, peak: Peak) -> float:
        """The ridge of its roofline: FLOP/s over bytes/s. Its only peak where it has but one."""
        sparse = self.sparse_flops_per_s if peak == "sparse" else None
        return (sparse or self.dense_flops_per_s) / self.bytes_per_s


def _sheet(dense_tflops: float, sparse_tflops: float, tb_per_s: float, gb: float) -> Accelerator:
    return Accelerator(
        dense_flops_per_s=dense_tflops * 1e12,
        sparse_flops_per_s=sparse_tflops * 1e12,
        bytes_per_s=tb_per_s * 1e12,
        memory_bytes=gb * 1e9,
    )


ACCELERATORS: Final[dict[str, Accelerator]] = {
    "h100-pcie": _sheet(756.5, 1513, 2.0, 80),
    "h100-sxm": _sheet(989.5, 1979, 3.35, 80),
    # PTE (arXiv:2604.05404) calls this one H200; its own 348.1 FLOP/byte is 1,671 over 4.8
    "h200-nvl": _sheet(835.5, 1671, 4.8, 141),
    "h200-sxm": _sheet(989.5, 1979, 4.8, 141),
    "b200": _sheet(2250, 4500, 8.0, 180),
    "a100-pcie": _sheet(312, 624, 1.935, 80),
    "a100-sxm": _sheet(312, 624, 2.039, 80),
    "l4": _sheet(121, 242, 0.3, 24),
    "l40s": _sheet(362, 733, 0.864, 48),
    "rtx-4090": _sheet(165.2, 330, 1.008, 24),
    "mi300x": _sheet(1307.4, 2614.9, 5.3, 192),
    "v100": Accelerator(dense_flops_per_s=125e12, bytes_per_s=0.9e12, memory_bytes=32e9),
}
"""By name. NVIDIA's and AMD's data sheets; 16-bit matrix products."""
