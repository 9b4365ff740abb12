"""The forward pass against transformers, and against itself however a prompt is cut."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from reference_engine.model.attention import Piece
from reference_engine.model.cache import KvCache, KvShape
from reference_engine.model.transformer import Transformer
from reference_engine.model.weights import load
from reference_engine.model_source import ModelSource
from tests.reference_engine.model.stories import FOLDER, stories

CPU = torch.device("cpu")
MAX_TOKENS = 256

SIZES = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_TOKENS,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

QWEN3_MOE = {
    "head_dim": 16,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 40,
}

YARN = {
    "rope_type": "yarn",
    "rope_theta": 1500.0,
    "factor": 8.0,
    "original_max_position_embeddings": 64,
}

GPT_OSS = {
    "head_dim": 16,
    "num_local_experts": 6,
    "num_experts_per_tok": 3,
    "sliding_window": 20,
    "swiglu_limit": 1.5,  # so small that it bites
    "rope_parameters": YARN | {"truncate": False},
}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "llama-multi-head": ("Llama", {"num_key_value_heads": 6}),
    "llama-theta": ("Llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
    "llama3-rope": ("Llama", {"rope_parameters": LLAMA3}),
    "llama-linear-rope": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 10}),
    "mistral-window": ("Mistral", {"sliding_window": 20}),
    "qwen2": ("Qwen2", {}),
    "qwen2-window": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 90, "max_window_layers": 1},
    ),
    "llama-biases": ("Llama", {"attention_bias": True}),
    "llama-yarn": ("Llama", {"rope_parameters": YARN | {"beta_fast": 20.0, "mscale": 0.7}}),
    "llama-yarn-scaled": (
        "Llama",
        {"rope_parameters": YARN | {"mscale": 0.7, "mscale_all_dim": 0.5}},
    ),
    "gpt-oss": ("GptOss", GPT_OSS),
    "gpt-oss-published-gate": ("GptOss", {**GPT_OSS, "swiglu_limit": 7.0}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "mixtral": ("Mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "qwen3-moe": ("Qwen3Moe", QWEN3_MOE),
    "qwen3-moe-normed": ("Qwen3Moe", QWEN3_MOE | {"norm_topk_prob": True}),
}


class Runner:
    """A model with room for a few sequences."""

    def __init__(self, folder: Path) -> None:
        shape, weights = load(ModelSource(name=str(folder)), MAX_TOKENS, torch.float32, CPU)
        self.model = Transformer(shape, weights)
        sizes = (shape.num_layers, shape.num_heads, shape.num_kv_heads, shape.head_dim)
        self.cache = KvCache(KvShape(*sizes, 4, MAX_TOKENS, 4, 16), torch.float32, CPU)

    @torch.inference_mode()
    def logits(self, pieces: list[Piece], ids: list[int]) -> torch.Tensor:
        """[num_tokens, vocab]; `pieces` in the order of `in_rows`."""
        hidden = self.model.embed(ids)
        batch = self.model.plan(pieces)
        for layer in range(self.model.shape.num_layers):  # one by one: ranges must compose
            hidden = self.model.layers(hidden, range(layer, layer + 1), batch, self.cache)
        return self.model.logits(hidden)


def oracle_logits(model: Any, ids: list[int]) -> torch.Tensor:
    """transformers' logits [num_tokens, vocab]."""
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return logits


def random_model(name: str, folder: Path) -> Any:
    """transformers' model of a family, saved to `folder`."""
    transformers = pytest.importorskip("transformers")
    family, changes = FAMILIES[name]
    config = getattr(transformers, f"{family}Config")(**SIZES | changes)
    torch.manual_seed(7)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for name, parameter in model.named_parameters():  # gains are born as ones, biases as zeros
        if parameter.dim() == 1 or name.endswith("_bias"):
            torch.nn.init.uniform_(parameter.data, 0.5, 1.5)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_equal_transformers(name: str, tmp_path: Path) -> None:
    """Every family's logits equal transformers' for random weights, gains and biases included."""
    model = random_model(name, tmp_path)
    ids = torch.randint(0, 96, (150,)).tolist()
    found = Runner(tmp_path).logits([Piece(2, 0, 150)], ids)
    torch.testing.assert_close(found, oracle_logits(model, ids), atol=2e-4, rtol=1e-4)


def test_the_golden_stories_are_what_transformers_tells() -> None:
    """The stored greedy tokens are the likeliest ones under the installed transformers."""
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    for prompt, output in stories():
        logits = oracle_logits(model, prompt + output[:-1])
        assert logits[len(prompt) - 1 :].argmax(-1).tolist() == output


@pytest.fixture(scope="module")
def storyteller() -> Runner:
    return Runner(FOLDER)


def test_likeliest_tokens_are_the_golden_ones(storyteller: Runner) -> None:
    """Given a story so far, the likeliest next token is the stored one, at every position."""
    for prompt, output in stories():
        ids = prompt + output[:-1]
        logits = storyteller.logits([Piece(0, 0, len(ids))], ids)
        assert logits[len(prompt) - 1 :].argmax(-1).tolist() == output


@pytest.fixture(scope="module")
def told(storyteller: Runner) -> tuple[Runner, list[int], torch.Tensor]:
    """A story's ids and the logits of all of it at once."""
    ids = stories()[5].prompt + stories()[5].output
    return storyteller, ids, storyteller.logits([Piece(0, 0, len(ids))], ids)


@example_settings(max_examples=15)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=12))
def test_logits_do_not_depend_on_how_a_prompt_is_cut(
    told: tuple[Runner, list[int], torch.Tensor], lengths: list[int]
) -> None:
    """Chunks of any lengths, single tokens among them, give the logits of the whole."""
    runner, ids, whole = told
    start, parts = 0, []
    for length in [*lengths, len(ids)]:
        length = min(length, len(ids) - start)
        if length:
            parts.append(runner.logits([Piece(3, start, length)], ids[start : start + length]))
        start += length
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["mistral-window", "gpt-oss"])
def test_windows_and_sinks_do_not_depend_on_how_a_prompt_is_cut(name: str, tmp_path: Path) -> None:
    """Single tokens alone, and beside one of another length, which shares a group with them."""
    random_model(name, tmp_path)
    runner = Runner(tmp_path)
    ids = torch.randint(0, 96, (100,)).tolist()
    whole = runner.logits([Piece(0, 0, 100)], ids)
    first = runner.logits([Piece(1, 0, 70)], ids[:70])
    torch.testing.assert_close(first, whole[:70], atol=2e-4, rtol=1e-4)
    runner.logits([Piece(2, 0, 10)], ids[:10])
    for step in range(15):
        alike = [Piece(1, 70 + step, 1), Piece(2, 10 + step, 1)]
        found = runner.logits(alike, [ids[70 + step], ids[10 + step]])
        expected = whole[[70 + step, 10 + step]]
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    rest = runner.logits([Piece(1, 85, 15)], ids[85:])
    torch.testing.assert_close(rest, whole[85:], atol=2e-4, rtol=1e-4)


def test_a_mixed_pass_gives_each_sequence_what_it_gets_alone(storyteller: Runner) -> None:
    """Decodes of unlike contexts and two chunks in one pass do not see each other."""
    ids = [story.prompt + story.output for story in stories()]
    alone = [storyteller.logits([Piece(0, 0, 80)], tokens[:80]) for tokens in ids[:4]]
    for slot, start in ((0, 79), (1, 3), (2, 40), (3, 10)):
        storyteller.logits([Piece(slot, 0, start)], ids[slot][:start])
    pieces = [Piece(0, 79, 1), Piece(1, 3, 1), Piece(2, 40, 40), Piece(3, 10, 5)]
    rows = [token for p in pieces for token in ids[p.slot][p.start : p.start + p.length]]
    expected = torch.cat([alone[p.slot][p.start : p.start + p.length] for p in pieces])
    found = storyteller.logits(pieces, rows)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_lay_in_a_slot_before_is_not_seen(storyteller: Runner) -> None:
    """A shorter sequence in a used slot, beside a longer neighbour, does not see the old tokens."""
    long, short = (story.prompt + story.output for story in stories()[4:])
    expected = storyteller.logits([Piece(0, 0, 10)], short[:10])[-1:]
    storyteller.logits([Piece(1, 0, 100)], short[:100])  # what lay there before
    storyteller.logits([Piece(0, 0, 90)], long[:90])
    storyteller.logits([Piece(1, 0, 9)], short[:9])
    found = storyteller.logits([Piece(0, 90, 1), Piece(1, 9, 1)], [long[90], short[9]])
    torch.testing.assert_close(found[1:], expected, atol=1e-4, rtol=1e-4)
