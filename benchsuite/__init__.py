"""benchsuite: loads LLM servers and says how far its own numbers can be trusted."""

__version__ = "0.1.0"
