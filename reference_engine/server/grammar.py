"""Answers that must satisfy a JSON schema or a grammar, token by token, by llguidance.

At each token the library says which ones may come next (one bit each, some 0.1 ms for a vocabulary
of 8k); whoever samples leaves out the rest. It holds for any weights, also for random ones.
"""

import json
from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any, Final

import jsonschema
import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from reference_engine.sequence import GuideError
from reference_engine.server.tokenizer import Tokenizer
from reference_engine.server.tool_calls import call_opening

Schema = Mapping[str, Any]

_END: Final = b"<|end|>"


class GrammarError(ValueError):
    """No answer can be held to this schema; the text says why."""


class Grammars:
    """Makes guides for one tokenizer. Building it looks at the whole vocabulary once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = _Vocabulary(tokenizer)
        self._size = tokenizer.vocab_size
        ends = [vocabulary.eos_token_id, *(i for i in tokenizer.eos_ids if i < self._size)]
        self._tokens = LLTokenizer(
            TokenizerWrapper(vocabulary), n_vocab=self._size + 1, eos_token=ends
        )
        tokens = vocabulary.tokens[: self._size]
        self._spaces = np.array([bool(token) and not token.strip(b" \n") for token in tokens])

    def guide(self, grammar: str, start: int = 0) -> "GrammarGuide":
        """Holds an answer to `grammar` from output token `start` on. Raises GrammarError."""
        matcher = LLMatcher(self._tokens, grammar, log_level=0)
        begun = matcher.deep_copy()  # does what must come first ever end?
        begun.consume_tokens(begun.compute_ff_tokens())
        for one in (matcher, begun):
            if one.is_error():
                raise GrammarError(_first_line(one))
        return GrammarGuide(matcher, self._size, self._spaces, start)


class GrammarGuide:
    """`sequence.Guide` over a grammar; the first `start` tokens are free.

    Told to go on after its end, the answer goes on in white space, which JSON may end in.
    """

    def __init__(
        self, matcher: LLMatcher, size: int, spaces: NDArray[np.bool_], start: int
    ) -> None:
        self._matcher, self._size, self._spaces = matcher, size, spaces
        self._free_left = start
        self._is_stuck = False  # no token may follow

    @property
    def is_complete(self) -> bool:
        return bool(self._matcher.is_stopped() and not self._matcher.is_error())

    def allowed(self) -> NDArray[np.bool_] | None:
        if self._free_left:
            return None
        if self.is_complete:
            return self._spaces
        if self._matcher.is_error():
            return None  # `advance` tells
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask = np.unpackbits(bits, count=self._size, bitorder="little").view(np.bool_)
        # On an error llguidance leaves its end tokens, which `min_tokens` may ban.
        self._is_stuck = self._matcher.is_error() or not mask.any()
        return None if self._is_stuck else mask  # a row without a token would fail its batch

    def advance(self, token: int) -> None:
        if self._free_left:
            self._free_left -= 1
        elif self._is_stuck:
            raise GuideError("no token of the vocabulary can go on from here")
        elif not self.is_complete and not self._matcher.consume_token(token):
            raise GuideError(_first_line(self._matcher))


def _first_line(matcher: LLMatcher) -> str:
    return str(matcher.get_error()).partition("\n")[0]


class _Vocabulary:
    """What llguidance asks of a tokenizer: the bytes of each token, and one that ends a text.

    Its own end token lies behind the vocabulary, since not every tokenizer has one.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        size = tokenizer.vocab_size
        pieces = [tokenizer.token_bytes(token_id) for token_id in range(size)]
        self.bos_token_id = None
        self.eos_token_id = size
        self.special_token_ids = [i for i, piece in enumerate(pieces) if not piece] + [size]
        self.tokens = [piece or b"<|%d|>" % i for i, piece in enumerate(pieces)] + [_END]
        self._pieces = pieces
        self._ids = {piece: i for i, piece in reversed([*enumerate(pieces)]) if piece}
        self._longest = max(map(len, pieces), default=0)

    def __call__(self, text: bytes) -> list[int]:
        """Ids of `text` and of nothing else: some tokenizers put a space or an end before it."""
        ids = self._tokenizer.encode(text.decode(errors="replace"))
        ids = [token_id for token_id in ids if self._pieces[token_id]]
        exact = b"".join([self._pieces[token_id] for token_id in ids]) == text
        return ids if exact else self._greedy(text)

    def _greedy(self, text: bytes) -> list[int]:
        """Longest token first; ends where no token fits."""
        ids: list[int] = []
        while text:
            lengths = range(min(self._longest, len(text)), 0, -1)
            length = next((one for one in lengths if text[:one] in self._ids), None)
            if length is None:
                break
            ids.append(self._ids[text[:length]])
            text = text[length:]
        return ids


def check_schema(schema: Schema) -> None:
    """Raises GrammarError if it is no JSON schema (draft 2020-12, unless it names another)."""
    named = isinstance(schema.get("$schema", ""), str)
    kind = jsonschema.validators.validator_for(schema if named else {})
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise GrammarError(f"{error.json_path}: {error.message[:200]}") from error
    except RecursionError as error:
        raise GrammarError("the schema is nested too deeply") from error


def schema_grammar(schema: Schema) -> str:
    """JSON that satisfies `schema`, without white space. Raises GrammarError."""
    try:
        return LLMatcher.grammar_from_json_schema(
            dict(schema), overrides={"whitespace_flexible": False}
        )
    except (ValueError, RecursionError) as error:
        raise GrammarError(str(error)) from error


def call_grammar(functions: Mapping[str, Schema]) -> str:
    """`{"name":NAME,"arguments":ARGUMENTS}` with one of the functions and what its schema takes.

    Each schema stays a document of its own, so its references keep their meaning. Raises
    GrammarError.
    """
    lines = ["start: " + " | ".join(f"call{i}" for i in range(len(functions)))]
    for i, (name, schema) in enumerate(functions.items()):
        guided = {**schema, "x-guidance": {"whitespace_flexible": False}}
        opening = json.dumps(call_opening(name))
        try:
            lines.append(f'call{i}: {opening} %json {json.dumps(guided)} "}}"')
        except (ValueError, RecursionError) as error:
            raise GrammarError(str(error)) from error
    return LLMatcher.grammar_from_lark("\n".join(lines))


# --- schemas for random weights ---

_MOST_CHARS: Final = 24
_MOST_ITEMS: Final = 3
_NUMBERS: Final = 9999
_SAYS_WHAT: Final = frozenset(
    ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "items")
)


def bounded(schema: Any) -> dict[str, Any]:
    """A schema whose every instance is one of `schema`, and short.

    Random weights have no idea when a text should end: where the schema sets no bound, strings get
    24 characters at most, lists 3 items, numbers are whole and below 10^4, objects have no members
    beside those named, and what may be anything is a string. `allOf` is left alone.
    """
    if not isinstance(schema, dict):
        return {"type": "string", "maxLength": _MOST_CHARS}
    out = dict(schema)
    if not _SAYS_WHAT & out.keys():
        out["type"] = "object" if "additionalProperties" in out else "string"
    kind = out.get("type")
    kinds = set(kind) if isinstance(kind, list) else {kind}
    if "enum" not in out and "const" not in out:
        if "string" in kinds and not {"pattern", "format"} & out.keys():
            out.setdefault("maxLength", max(_MOST_CHARS, out.get("minLength", 0)))
        if kinds & {"integer", "number"}:
            _bound_number(out, kinds)
        if "array" in kinds:
            out.setdefault("maxItems", max(_MOST_ITEMS, out.get("minItems", 0)))
            out.setdefault("items", {})
        if "object" in kinds or "properties" in out:
            _close(out)
    return _bounded_inside(out)


def _bound_number(out: dict[str, Any], kinds: set[Any]) -> None:
    low = out.get("minimum", out.get("exclusiveMinimum"))
    high = out.get("maximum", out.get("exclusiveMaximum"))
    if low is None:
        low = out["minimum"] = 0 if high is None or high > 0 else high - _NUMBERS
    if high is None:
        high = out["maximum"] = low + _NUMBERS
    if "number" in kinds and "multipleOf" not in out and floor(high) - ceil(low) >= 2:
        others = sorted(str(kind) for kind in kinds - {"number", "integer"})
        out["type"] = [*others, "integer"] if others else "integer"


def _close(out: dict[str, Any]) -> None:
    """No members but those named; required ones are named."""
    properties = dict(out.get("properties", {}))
    more = out.get("additionalProperties")
    for name in out.get("required", ()):
        properties.setdefault(name, more if isinstance(more, dict) else {})
    out["properties"], out["additionalProperties"] = properties, False


def _bounded_inside(out: dict[str, Any]) -> dict[str, Any]:
    for name in ("anyOf", "oneOf", "prefixItems"):
        if isinstance(out.get(name), Sequence):
            out[name] = [bounded(inner) for inner in out[name]]
    for name in ("properties", "$defs", "definitions"):
        if isinstance(out.get(name), dict):
            out[name] = {key: bounded(inner) for key, inner in out[name].items()}
    if "items" in out and out["items"] is not False:
        out["items"] = bounded(out["items"])
    return out
