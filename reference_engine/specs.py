"""Numbers about models and devices, and the base of every choice in an engine's configuration.

Knows nothing of tensors, steps or time.
"""

from functools import cached_property
from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
"""A whole number of at least one."""

NameOrPath = Annotated[str, Meta(min_length=1, extra={"path": "or name"})]
"""A name, or a path; whoever reads it from a file may make it absolute, from the file's folder."""


class EngineError(Exception):
    """Base of what the engine refuses or reports; its text says what to change."""


class ConfigError(EngineError):
    """The configuration, or the model folder that it names, cannot be used."""


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section of an engine's configuration. A choice adds `tag="its_name"`."""


class ModelShape(Spec, frozen=True, dict=True):
    """Sizes of a Llama-style decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

    With `num_experts` > 0 each layer's feed-forward part is `num_experts` experts of
    `intermediate_size`, of which a router picks `experts_per_token` for each token. `windows` says
    for each layer how many tokens a token attends to, itself included; 0, or no `windows`: all.
    """

    num_layers: Count
    hidden_size: Count
    num_heads: Count
    num_kv_heads: Count
    head_dim: Count
    intermediate_size: Count
    vocab_size: Count
    max_position: Count
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    tie_embeddings: bool = False
    dtype_bytes: Count = 2  # of weights and KV alike
    num_experts: int = 0
    experts_per_token: int = 0
    expert_weight_bytes: Annotated[float, Meta(gt=0)] | None = None  # None: dtype_bytes
    windows: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    architecture: str = "llama"  # Hugging Face `model_type`; what the sizes mean in full

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ValueError("num_heads must be a multiple of num_kv_heads")
        if self.num_experts and not 1 <= self.experts_per_token <= self.num_experts:
            raise ValueError("experts_per_token must lie between 1 and num_experts")
        if self.windows and len(self.windows) != self.num_layers:
            raise ValueError("windows must be one for each layer")

    @cached_property
    def attention_params(self) -> int:
        """Weights of one layer's four attention projections."""
        heads = 2 * self.num_heads + 2 * self.num_kv_heads  # query and output; key and value
        return self.hidden_size * self.head_dim * heads

    @cached_property
    def expert_params(self) -> int:
        """Weights of one feed-forward part (gate, up, down): a dense layer's, or an expert's."""
        return 3 * self.hidden_size * self.intermediate_size

    @cached_property
    def router_params(self) -> int:
        """Weights of one layer's router; 0 in a dense model."""
        return self.hidden_size * self.num_experts

    @cached_property
    def head_params(self) -> int:
        """Weights of the matrix from hidden states to logits (or of the input embedding)."""
        return self.hidden_size * self.vocab_size

    @cached_property
    def bias_params(self) -> int:
        """Biases and attention sinks of one layer, where the architecture has them everywhere."""
        if self.architecture != "gpt_oss":
            return 0
        attention = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim + self.hidden_size
        expert = 2 * self.intermediate_size + self.hidden_size
        return attention + self.num_heads + self.num_experts * (1 + expert)

    @cached_property
    def num_params(self) -> int:
        """All weights: layers with their two norms, final norm, embedding, head unless tied."""
        experts = max(1, self.num_experts) * self.expert_params
        layer = self.attention_params + experts + self.router_params + 2 * self.hidden_size
        layer += self.bias_params
        embeddings = self.head_params * (1 if self.tie_embeddings else 2)
        return self.num_layers * layer + self.hidden_size + embeddings

    @cached_property
    def expert_bytes(self) -> float:
        """Of the weights of one feed-forward part."""
        return self.expert_params * (self.expert_weight_bytes or self.dtype_bytes)

    @cached_property
    def weights_bytes(self) -> float:
        """Of all weights."""
        experts = self.num_layers * max(1, self.num_experts)
        others = self.num_params - experts * self.expert_params
        return others * self.dtype_bytes + experts * self.expert_bytes

    @cached_property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values that one token leaves behind, all layers.

        Windows make them no fewer: what a layer no longer reads is kept with its block.
        """
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * self.dtype_bytes


class EncoderShape(Spec, frozen=True):
    """Sizes of the transformer that reads images and sound before the decoder does."""

    PATCH: ClassVar[int] = 14  # pixels, of a side
    FRAME: ClassVar[int] = 320  # samples: 20 ms at 16 kHz

    num_layers: Count
    hidden_size: Count
    num_heads: Count

    @property
    def patch_size(self) -> int:
        """Numbers in a patch of an image."""
        return 3 * self.PATCH**2

    @property
    def frame_size(self) -> int:
        """Numbers in a frame of sound."""
        return self.FRAME

    @property
    def layer_params(self) -> int:
        """Weights of one layer: attention's four matrices, and two four times as wide."""
        return 12 * self.hidden_size**2


_SMALL_ENCODER: Final = EncoderShape(num_layers=4, hidden_size=192, num_heads=3)
_LARGE_ENCODER: Final = EncoderShape(num_layers=24, hidden_size=1024, num_heads=16)


def encoder_shape(decoder: ModelShape) -> EncoderShape:
    """ViT-L (Dosovitskiy et al., 2021, table 1) before a decoder of 500M parameters or more; before
    a smaller one four layers of ViT-Ti's width (Touvron et al., 2021, table 1).
    """
    return _LARGE_ENCODER if decoder.num_params >= 5e8 else _SMALL_ENCODER


class DeviceSpec(Spec, frozen=True):
    """What one accelerator can do at best; the peak is dense (not sparse) bf16."""

    peak_flops_per_s: Annotated[float, Meta(gt=0)]
    bytes_per_s: Annotated[float, Meta(gt=0)]
    memory_bytes: Annotated[float, Meta(gt=0)]
    host_bytes_per_s: Annotated[float, Meta(gt=0)] = (
        32e9  # to host memory, each way: 16 lanes PCIe 4
    )


class Capacity(Spec, frozen=True):
    """How much one worker holds at once."""

    num_blocks: Count
    block_size: Count  # tokens
    max_sequences: Count
    max_model_len: Count  # tokens, prompt and output


DEVICES: Final[dict[str, DeviceSpec]] = {
    # NVIDIA A100 data sheet (2021), SXM 80 GB
    "a100": DeviceSpec(peak_flops_per_s=312e12, bytes_per_s=2.039e12, memory_bytes=80e9),
    # NVIDIA H100 data sheet, SXM: 1,979 TFLOP/s with sparsity, half of it dense; PCIe 5
    "h100": DeviceSpec(
        peak_flops_per_s=989.5e12,
        bytes_per_s=3.35e12,
        memory_bytes=80e9,
        host_bytes_per_s=64e9,
    ),
    # NVIDIA H200 data sheet, SXM: H100's arithmetic, HBM3e
    "h200": DeviceSpec(
        peak_flops_per_s=989.5e12,
        bytes_per_s=4.8e12,
        memory_bytes=141e9,
        host_bytes_per_s=64e9,
    ),
    # NVIDIA L4 data sheet: 242 TFLOP/s with sparsity, half of it dense
    "l4": DeviceSpec(peak_flops_per_s=121e12, bytes_per_s=300e9, memory_bytes=24e9),
    # NVIDIA Ada white paper, table 2: bf16 with float32 accumulation, dense
    "rtx-4090": DeviceSpec(peak_flops_per_s=165.2e12, bytes_per_s=1.008e12, memory_bytes=24e9),
    # Measured, not printed: two Zen 3 cores, float32 matrix product and a streaming read; a
    # copy reads and writes
    "cpu": DeviceSpec(
        peak_flops_per_s=133e9,
        bytes_per_s=25e9,
        memory_bytes=8e9,
        host_bytes_per_s=12.5e9,
    ),
}
"""Accelerators by name: dense bf16 peaks (the CPU's: float32)."""
