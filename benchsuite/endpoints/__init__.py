"""How a server is spoken to: the union of these classes is every `endpoint.type`."""

from benchsuite.endpoints.in_process import InProcess
from benchsuite.endpoints.openai_chat import OpenAIChat
from benchsuite.endpoints.openai_completions import OpenAICompletions
from benchsuite.endpoints.openai_embeddings import OpenAIEmbeddings
from benchsuite.endpoints.openai_responses import OpenAIResponses
from benchsuite.endpoints.reference_engine import ReferenceEngine

Endpoint = (
    OpenAIChat
    | OpenAICompletions
    | OpenAIResponses
    | OpenAIEmbeddings
    | ReferenceEngine
    | InProcess
)
