"""FLOPs and bytes of a step, dense and mixture-of-experts. Pure arithmetic, no clock.

Follows the roofline model (Williams et al., CACM 2009): a step takes no less than its arithmetic at
the device's peak, and no less than its memory traffic at the device's bandwidth.

Letters used below, for one layer unless said otherwise:
    L  layers of the model                  D  hidden size             V  vocabulary
    H  query heads                          K  KV heads                h  head size
    A  attention weights = D h (2 H + 2 K)  F  weights of one feed-forward part = 3 D I
    E  experts (0 in a dense model)         k  experts per token       b  bytes per number
    T  tokens that pass the layer           C  query-context pairs     R  KV entries read
    S  positions sampled                    W  the layer's window      f  bytes of F weights

Left out, each below a few per cent of a step: norms, rotary positions, softmax, activations between
kernels, rows of the input embedding, the sampling of a token from its logits.
"""

from collections import Counter
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reference_engine.specs import DeviceSpec, EncoderShape, ModelShape, encoder_shape
from reference_engine.step import Step

Number = TypeVar("Number", float, NDArray[np.float64])  # of one step, or of each of several


class LayerLoad(NamedTuple, Generic[Number]):
    """What passes through each of `num_layers` layers of a step."""

    num_layers: int
    tokens: int  # T
    context_pairs: Number  # C: for each token the entries it attends to, itself included, summed
    kv_read_tokens: Number  # R: entries read; a prefill reads its context once, not per token


class Cost(NamedTuple):
    """A step's arithmetic and memory traffic."""

    flops: float
    bytes: float

    def time_s(self, device: DeviceSpec) -> float:
        """max(FLOPs / peak, bytes / bandwidth)."""
        return max(self.flops / device.peak_flops_per_s, self.bytes / device.bytes_per_s)


def step_cost(step: Step, shape: ModelShape) -> Cost:
    """FLOPs and bytes of all layers and of the matrix to the logits.

    FLOPs = sum over layers (layer_flops) + 2 S D V + sum over media (encoder_flops)
    bytes = sum over layers (layer_bytes) + [S > 0] b D V + the encoder's weights once, if it reads
    """
    flops = 0.0
    moved = 0.0
    for load in layer_loads(step, shape):
        flops += load.num_layers * layer_flops(load, shape)
        moved += load.num_layers * layer_bytes(load, shape)
    if step.encode:
        encoder = encoder_shape(shape)
        flops += sum(encoder_flops(len(work.media.features), encoder) for work in step.encode)
        moved += encoder.num_layers * encoder.layer_params * shape.dtype_bytes
    sampled = num_sampled(step, shape.num_layers)
    if sampled:
        flops += 2.0 * sampled * shape.head_params
        moved += shape.head_params * shape.dtype_bytes
    return Cost(flops, moved)


def decode_times_s(
    step: Step, num_steps: int, shape: ModelShape, device: DeviceSpec
) -> NDArray[np.float64]:
    """What `step_cost` and `time_s` give, to the last bit, for `num_steps` decodes of which each
    goes on from the one before, the first of them `step`, [steps]."""
    computed = np.array([[work.sequence.num_computed_tokens] for work in step.decode], np.float64)
    known = computed + np.arange(num_steps)  # tokens, [sequences, steps]
    flops = moved = np.zeros(num_steps)
    for window, num_layers in Counter(shape.windows or (0,) * shape.num_layers).items():
        reads = (np.minimum(known, window - 1) if window else known).sum(axis=0)
        load = LayerLoad(num_layers, len(known), reads + len(known), reads)
        flops = flops + num_layers * layer_flops(load, shape)
        moved = moved + num_layers * layer_bytes(load, shape)
    flops = flops + 2.0 * len(known) * shape.head_params
    moved = moved + shape.head_params * shape.dtype_bytes
    return np.maximum(flops / device.peak_flops_per_s, moved / device.bytes_per_s)


def layer_flops(load: LayerLoad[Number], shape: ModelShape) -> Number:
    """2 T (A + D E + max(1, k) F) + 4 H h C: a multiply and an add per weight and token; scores and
    their weighted sum for each query-context pair.
    """
    weights = shape.attention_params + shape.router_params
    weights += max(1, shape.experts_per_token) * shape.expert_params
    return 2.0 * load.tokens * weights + 4.0 * shape.num_heads * shape.head_dim * load.context_pairs


def encoder_flops(num_rows: int, encoder: EncoderShape) -> float:
    """Per layer 2 T W + 4 D T^2: every row through the weights W, and to every row of T."""
    dense = 2.0 * num_rows * encoder.layer_params
    return encoder.num_layers * (dense + 4.0 * encoder.hidden_size * num_rows**2)


def layer_bytes(load: LayerLoad[Number], shape: ModelShape) -> Number:
    """b (A + D E + 2 K h (R + T)) + distinct f: weights once, KV read, and written for T."""
    weights = shape.attention_params + shape.router_params
    kv_entries = load.kv_read_tokens + load.tokens
    kv_values = 2 * shape.num_kv_heads * shape.head_dim * kv_entries
    experts_read = distinct_experts(load.tokens, shape)
    return shape.dtype_bytes * (weights + kv_values) + experts_read * shape.expert_bytes


def distinct_experts(tokens: int, shape: ModelShape) -> float:
    """Feed-forward parts whose weights are read: 1 if dense, else E (1 - (1 - k/E)^T).

    The expectation under uniform routing. Real routers are skewed and touch fewer.
    """
    if not shape.num_experts:
        return 1.0
    missed = 1.0 - shape.experts_per_token / shape.num_experts
    return float(shape.num_experts * (1.0 - missed**tokens))


def num_sampled(step: Step, num_layers: int) -> int:
    """S: all decodes, and prefills that bring the last known token through the last layer."""
    return len(step.decode) + sum([work.samples(num_layers) for work in step.prefill])


def layer_loads(step: Step, shape: ModelShape) -> list[LayerLoad[float]]:
    """The step cut into sets of layers that all see the same tokens through the same window.

    Decodes pass every layer, a prefill its own range: one run, unless prefills differ in layers.
    A decode at position p attends to p + 1 entries and reads p; a prefill of [s, s + n) attends to
    n s + n (n + 1) / 2 and reads s, its own n being still at hand. A window bounds what a token
    attends to by W and what is read for it, or for the first of a prefill, by W - 1.
    """
    computed = [work.sequence.num_computed_tokens for work in step.decode]
    cuts = {0, shape.num_layers} if computed else set()
    for prefill in step.prefill:
        cuts |= {prefill.layers.start, prefill.layers.stop}
    loads = []
    for first, last in pairwise(sorted(cuts)):
        windows = Counter(shape.windows[first:last]).items() if shape.windows else ()
        for window, num_layers in windows or ((0, last - first),):
            reads = sum([min(n, window - 1) for n in computed] if window else computed)
            tokens, pairs = len(computed), reads + len(computed)
            for _, start, length, layers in step.prefill:
                if layers.start <= first and last <= layers.stop:
                    tokens += length
                    pairs += context_pairs(start, length, window)
                    reads += min(start, window - 1) if window else start
            if tokens:
                loads.append(LayerLoad(num_layers, tokens, pairs, reads))
    return loads


def context_pairs(start: int, length: int, window: int = 0) -> int:
    """Entries that tokens [start, start + length) attend to, each at most `window`, summed.

    The first tokens see all before them, one more each; the others, if there are any, W.
    """
    growing = min(length, max(0, window - start)) if window else length
    return growing * start + growing * (growing + 1) // 2 + (length - growing) * window
