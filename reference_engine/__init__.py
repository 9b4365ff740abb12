"""A small LLM serving engine: a model or a roofline behind one scheduler, blocks and server."""

from reference_engine.config import EngineConfig
from reference_engine.engine import Engine
from reference_engine.sequence import SamplingParams

__all__ = ["Engine", "EngineConfig", "SamplingParams"]
