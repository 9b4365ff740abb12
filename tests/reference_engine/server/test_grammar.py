"""Answers held to a schema, whatever the weights: tokens are drawn blindly from those allowed."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_engine.server.grammar import (
    GrammarError,
    Grammars,
    bounded,
    call_grammar,
    schema_grammar,
)
from reference_engine.server.tokenizer import ByteTokenizer, FileTokenizer, Tokenizer
from tests.reference_engine.model.stories import FOLDER as STORIES_FOLDER

BUNDLED = FileTokenizer(Path(__file__).parents[3] / "benchsuite" / "data" / "tokenizer.json.gz")
STORIES = FileTokenizer(STORIES_FOLDER / "tokenizer.json")  # SentencePiece: a space goes first
TOKENIZERS: dict[str, Tokenizer] = {
    "bytes": ByteTokenizer(),
    "bundled": BUNDLED,
    "stories": STORIES,
}
GRAMMARS = {name: Grammars(tokenizer) for name, tokenizer in TOKENIZERS.items()}

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "places": {"type": "array", "items": {"$ref": "#/$defs/place"}},
        "anything": {},
        "by_day": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["city", "days", "unit", "anything", "unlisted"],
    "$defs": {"place": {"type": "object", "properties": {"x": {"type": "number"}}}},
}

BOUNDS = st.integers(-50, 50)
SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.sampled_from([{}, {"type": "string"}, {"type": "boolean"}, {"enum": [1, "a", None]}])
    | st.builds(lambda low: {"type": "number", "minimum": low}, BOUNDS)
    | st.builds(lambda high: {"type": "integer", "maximum": high}, BOUNDS)
    | st.builds(lambda n: {"type": ["string", "null"], "minLength": n}, st.integers(0, 30)),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3))
        | st.dictionaries(st.text(max_size=5), inner, max_size=3).map(
            lambda members: {"type": "object", "properties": members, "required": [*members][:2]}
        )
    ),
    max_leaves=5,
)


def blind(grammar: str, name: str, seed: int = 0, most: int = 2000) -> tuple[str, int]:
    """The text of an answer drawn evenly from what is allowed, and its tokens."""
    rng, tokenizer = random.Random(seed), TOKENIZERS[name]
    guide = GRAMMARS[name].guide(grammar)
    ids: list[int] = []
    while not guide.is_complete:
        allowed = guide.allowed()
        assert allowed is not None
        assert len(ids) < most
        token = rng.choice(np.flatnonzero(allowed).tolist())
        guide.advance(token)
        ids.append(token)
    return b"".join(map(tokenizer.token_bytes, ids)).decode(), len(ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_call_satisfies_its_schema(name: str) -> None:
    """Name and arguments, for schemas with references, enumerations and members left open."""
    functions = {"get_weather": bounded(WEATHER), 'say "hi"': bounded({"type": "object"})}
    names = set()
    for seed in range(12):
        text, _ = blind(call_grammar(functions), name, seed)
        call = json.loads(text)
        names.add(call["name"])
        if call["name"] == "get_weather":
            jsonschema.validate(call["arguments"], WEATHER)
        else:
            assert call["arguments"] == {}
    assert names == functions.keys()


@given(SCHEMAS, st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_what_is_bounded_still_satisfies_the_schema(schema: dict[str, Any], seed: int) -> None:
    """Bounds only take away; and a blind writer comes to an end."""
    object_of = {"type": "object", "properties": {"it": schema}, "required": ["it"]}
    text, _ = blind(schema_grammar(bounded(object_of)), "bundled", seed)
    jsonschema.validate(json.loads(text), object_of)


def test_the_first_tokens_are_free_and_the_rest_is_white_space() -> None:
    """Thinking comes before the grammar; an answer that must go on stays well-formed."""
    guide = GRAMMARS["bytes"].guide(schema_grammar({"const": [1]}), start=2)
    for token in (255, 0):
        assert guide.allowed() is None
        guide.advance(token)
    for byte in b"[1]":
        assert not guide.is_complete
        allowed = guide.allowed()
        assert allowed is not None
        assert np.flatnonzero(allowed).tolist() == [byte]
        guide.advance(byte)
    assert guide.is_complete
    spaces = guide.allowed()
    assert spaces is not None
    assert bytes(np.flatnonzero(spaces).tolist()) == b"\n "
    guide.advance(10)
    assert guide.is_complete


@pytest.mark.parametrize("schema", [{"type": "strnig"}, {"type": "string", "pattern": "("}])
def test_a_schema_that_means_nothing_is_refused(schema: dict[str, Any]) -> None:
    """With the library's words, before anything is computed."""
    with pytest.raises(GrammarError):
        GRAMMARS["bytes"].guide(call_grammar({"f": schema}))
