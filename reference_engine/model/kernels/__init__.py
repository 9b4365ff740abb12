"""Triton kernels of the paged model. Each file holds kernels and the functions that launch them.

They run on CUDA devices, and on a CPU under `TRITON_INTERPRET=1`, which is how they are tested.
"""
