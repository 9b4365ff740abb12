"""ModelShape: the sizes of a model that its cost depends on; from a name or a `config.json`.

`active_params` are the weights that one token is multiplied with: all but the input embedding,
which is a table, and of experts those that a router picks.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from benchsuite.spec import Count, Positive, Spec

Whole = Annotated[int, Meta(ge=0)]


class ModelShape(Spec, frozen=True, kw_only=True):
    """Sizes of a decoder."""

    active_params: Positive
    total_params: Positive
    num_layers: Count
    hidden_size: Count
    num_heads: Count
    num_kv_heads: Count
    head_dim: Count
    latent_dim: Whole = 0  # of keys and values together, rotary part included (MLA); 0: none
    window_layers: Whole = 0  # layers that look back no further than
    window_tokens: Whole = 0  # this
    kv_bytes: Positive = 2.0  # of a number in the KV cache
    weight_bytes: Positive = 2.0  # of a weight

    def kv_numbers(self, context_tokens: Any) -> Any:
        """Numbers of the KV cache that one new token reads, over all layers; of one context or of
        an array of them. A latent is read once for keys and values."""
        width = self.latent_dim or 2 * self.num_kv_heads * self.head_dim
        seen = context_tokens.clip(max=self.window_tokens) if self.window_layers else 0
        full_layers = self.num_layers - self.window_layers
        return width * (full_layers * context_tokens + self.window_layers * seen)


class _Config(Struct):
    """The part of a Hugging Face `config.json` that sizes follow from, under all its names."""

    model_type: str = "unknown"
    text_config: dict[str, Any] | None = None  # of a model that sees
    num_hidden_layers: int | None = None
    n_layer: int | None = None
    hidden_size: int | None = None
    n_embd: int | None = None
    num_attention_heads: int | None = None
    n_head: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int = 0
    intermediate_size: int | None = None
    ffn_dim: int | None = None
    n_inner: int | None = None
    tie_word_embeddings: bool = False
    # experts
    num_experts: int | None = None
    num_local_experts: int | None = None
    n_routed_experts: int | None = None
    num_experts_per_tok: int | None = None
    moe_intermediate_size: int | None = None
    n_shared_experts: int | None = None
    shared_expert_intermediate_size: int | None = None
    first_k_dense_replace: int = 0
    decoder_sparse_step: int = 1
    mlp_only_layers: list[int] | None = None
    # latent attention
    kv_lora_rank: int | None = None
    q_lora_rank: int | None = None
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    # windows
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    max_window_layers: int | None = None
    layer_types: list[str] | None = None


_TWO_MATRICES: Final = frozenset({"opt", "gpt2", "gpt_neox", "gptj", "falcon", "phi", "bloom"})
"""Model types whose feed-forward part has no gate."""


def from_config(raw: bytes) -> ModelShape:
    """The sizes that a Hugging Face `config.json` states. Raises ValueError saying what it lacks.

    Biases and norms are left out: below 0.1 % of the weights.
    """
    config = msgspec.json.decode(raw, type=_Config)
    if config.text_config is not None:
        config = msgspec.convert(config.text_config, _Config)
    layers = _first("num_hidden_layers", config.num_hidden_layers, config.n_layer)
    hidden = _first("hidden_size", config.hidden_size, config.n_embd)
    heads = _first("num_attention_heads", config.num_attention_heads, config.n_head)
    kv_heads = config.num_key_value_heads or heads
    head_dim = config.head_dim or hidden // heads
    attention = _attention(config, hidden, heads, kv_heads, head_dim)
    active, total = _feed_forward(config, layers, hidden)
    embedding = hidden * config.vocab_size
    return ModelShape(
        active_params=layers * attention + active + embedding,
        total_params=layers * attention
        + total
        + embedding * (1 if config.tie_word_embeddings else 2),
        num_layers=layers,
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        latent_dim=config.kv_lora_rank + config.qk_rope_head_dim if config.kv_lora_rank else 0,
        window_layers=_window_layers(config, layers),
        window_tokens=config.sliding_window or 0,
    )


def _first(name: str, *found: int | None) -> int:
    known = next((one for one in found if one), None)
    if known is None:
        raise ValueError(f"no `{name}`: is this a Hugging Face config.json of a decoder?")
    return known


def _attention(config: _Config, hidden: int, heads: int, kv_heads: int, head_dim: int) -> int:
    """Weights of one layer's projections."""
    if not config.kv_lora_rank:
        return hidden * head_dim * (2 * heads + 2 * kv_heads)
    of_head = config.qk_nope_head_dim + config.qk_rope_head_dim
    rank = config.q_lora_rank
    query = hidden * rank + rank * heads * of_head if rank else hidden * heads * of_head
    latent = hidden * (config.kv_lora_rank + config.qk_rope_head_dim)
    keys_and_values = config.kv_lora_rank * heads * (config.qk_nope_head_dim + config.v_head_dim)
    return query + latent + keys_and_values + heads * config.v_head_dim * hidden


def _feed_forward(config: _Config, layers: int, hidden: int) -> tuple[int, int]:
    """(active, all) weights of all layers' feed-forward parts."""
    matrices = 2 if config.model_type in _TWO_MATRICES else 3
    inner = config.intermediate_size or config.ffn_dim or config.n_inner or 4 * hidden
    dense = matrices * hidden * inner
    experts = config.num_experts or config.num_local_experts or config.n_routed_experts or 0
    if not experts:
        return layers * dense, layers * dense
    expert = 3 * hidden * (config.moe_intermediate_size or inner)
    shared_inner = config.shared_expert_intermediate_size or 0
    shared = 3 * hidden * shared_inner + (config.n_shared_experts or 0) * expert
    router = hidden * experts
    sparse_layers = _sparse_layers(config, layers)
    picked = _first("num_experts_per_tok", config.num_experts_per_tok)
    fixed = (layers - sparse_layers) * dense + sparse_layers * (router + shared)
    return fixed + sparse_layers * picked * expert, fixed + sparse_layers * experts * expert


def _sparse_layers(config: _Config, layers: int) -> int:
    """How many layers have experts."""
    dense = set(config.mlp_only_layers or ()) | set(range(config.first_k_dense_replace))
    step = config.decoder_sparse_step
    return sum(layer not in dense and (layer + 1) % step == 0 for layer in range(layers))


def _window_layers(config: _Config, layers: int) -> int:
    if not config.sliding_window or config.use_sliding_window is False:
        return 0
    if config.layer_types:
        return sum(kind == "sliding_attention" for kind in config.layer_types)
    if config.max_window_layers is not None:
        return max(0, layers - config.max_window_layers)  # Qwen2: those above have the window
    return layers


def _shape(
    active_b: float, total_b: float, layers: int, hidden: int, heads: int, kv: int, **more: Any
) -> ModelShape:
    return ModelShape(
        active_params=active_b * 1e9,
        total_params=total_b * 1e9,
        num_layers=layers,
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=kv,
        **{"head_dim": 128, **more},
    )


MODELS: Final[dict[str, ModelShape]] = {
    "qwen2.5-7b": _shape(6.53, 7.62, 28, 3584, 28, 4),
    "qwen2.5-32b": _shape(31.0, 32.8, 64, 5120, 40, 8),
    "qwen2.5-72b": _shape(70.0, 72.7, 80, 8192, 64, 8),
    "qwen3-32b": _shape(31.2, 32.8, 64, 5120, 64, 8),
    "llama-3.1-8b": _shape(8.0, 8.03, 32, 4096, 32, 8),
    "llama-3.1-70b": _shape(70.6, 70.6, 80, 8192, 64, 8),
    "qwen3-30b-a3b": _shape(3.3, 30.5, 48, 2048, 32, 4),
    "qwen3-235b-a22b": _shape(22.0, 235.0, 94, 4096, 64, 4),
    "glm-4.5-air": _shape(12.0, 106.0, 46, 4096, 96, 8),
    "glm-4.5": _shape(32.0, 355.0, 92, 5120, 96, 8),
    "deepseek-v3.1": _shape(37.0, 671.0, 61, 7168, 128, 128, latent_dim=576),
    "gpt-oss-120b": _shape(
        5.1, 117.0, 36, 2880, 64, 8, head_dim=64, window_layers=18, window_tokens=128
    ),
}
"""The twelve models of PTE (arXiv:2604.05404), with its active parameters; other sizes are those of
their `config.json`."""
