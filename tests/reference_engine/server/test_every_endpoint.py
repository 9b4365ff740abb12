"""Every API that the suite speaks, over a socket to the bundled engine: what was asked comes back
as text, tokens, thoughts and usage."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.endpoints.openai_completions import OpenAICompletions
from benchsuite.endpoints.openai_embeddings import EMBEDDED, OpenAIEmbeddings
from benchsuite.endpoints.openai_responses import OpenAIResponses
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.exchange import Kind, Response
from benchsuite.request import Message, Request, Scripted
from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.executors import Roofline
from reference_engine.server.api import open_api
from reference_engine.server.app import bind, serve, url

SPOKEN = OpenAIChat | OpenAICompletions | OpenAIResponses | OpenAIEmbeddings
HELLO = (Message("user", "hello"),)


@asynccontextmanager
async def served(config: EngineConfig) -> AsyncIterator[str]:
    listener = bind("127.0.0.1", 0)
    async with open_api(config) as api, serve(api, listener):
        yield url(listener)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    behaviour = Behaviour(low_tokens=6, spread=0.0)
    async with served(
        EngineConfig(executor=Roofline(overhead_s=0.0), behaviour=behaviour)
    ) as found:
        yield found


async def answered(endpoint: SPOKEN, effort: str | None = None) -> Response:
    request = Request(
        id=0,
        prompt=Scripted(HELLO, 5),
        prompt_tokens=5,
        max_output_tokens=9,
        ignore_eos=effort is None,
        effort=effort,
    )
    async with endpoint.connect() as connection:
        exchange = await connection.send(0, endpoint.body(request, HELLO))
    return endpoint.decode(exchange, len)


@pytest.mark.parametrize("spoken", [OpenAIChat, OpenAICompletions])
async def test_a_demanded_length_comes(
    spoken: type[OpenAIChat | OpenAICompletions], address: str
) -> None:
    """Token by token, as the server counts them."""
    found = await answered(spoken(url=address, model="tiny", transport="aiohttp"))
    assert (found.error, found.finish_reason, found.tokens_from) == (None, "length", "usage")
    assert found.output_tokens == 9
    assert found.usage is not None
    assert (found.usage.prompt_tokens or 0) >= len("hello")
    assert len(found.chunks) > 1


async def test_a_response_has_its_tokens(address: str) -> None:
    """/v1/responses knows no demanded length: at most so many, by its own usage."""
    found = await answered(OpenAIResponses(url=address, model="tiny", transport="aiohttp"))
    assert (found.error, found.tokens_from) == (None, "usage")
    assert 0 < found.output_tokens <= 9
    assert found.usage is not None
    assert (found.usage.prompt_tokens or 0) >= len("hello")


@pytest.mark.parametrize(
    "spoken", [OpenAIChat, OpenAIResponses], ids=["reasoning_effort", "reasoning.effort"]
)
async def test_thoughts_are_told_apart(
    spoken: type[OpenAIChat | OpenAIResponses], address: str
) -> None:
    """Six tokens of thought at low effort, then the answer."""
    endpoint = spoken(url=address, model="tiny", transport="aiohttp")
    found = await answered(endpoint, "low")
    assert found.usage is not None
    assert found.usage.reasoning_tokens == 6
    kinds = [chunk.kind for chunk in found.chunks]
    assert kinds[0] is Kind.REASONING
    assert kinds == sorted(kinds, key=[Kind.REASONING, Kind.CONTENT].index)


@pytest.mark.parametrize("effort", ["low", "none"])
async def test_templates_variables_switch_thinking(effort: str, address: str) -> None:
    """As llama.cpp and vLLM have it for Qwen3; fields that nobody knows change nothing."""
    fields = ReasoningFields(
        effort=None, switch="chat_template_kwargs.enable_thinking", budget="reasoning_budget"
    )
    endpoint = OpenAIChat(url=address, model="tiny", transport="aiohttp", reasoning=fields)
    found = await answered(endpoint, effort)
    assert found.error is None
    thinks = any(chunk.kind is Kind.REASONING for chunk in found.chunks)
    assert thinks == (effort != "none")


async def test_an_embedding_is_an_answer_without_tokens() -> None:
    """A vector of the model's own, and the prompt's tokens."""
    async with served(EngineConfig()) as address:
        found = await answered(OpenAIEmbeddings(url=address, model="tiny", transport="aiohttp"))
    assert (found.error, found.finish_reason, found.output_tokens) == (None, EMBEDDED, 0)
    assert found.usage is not None
    assert found.usage.prompt_tokens == len("hello")
