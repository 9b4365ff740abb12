"""The OpenAI HTTP API over the engine: text in, text out. Nothing below knows of text or HTTP."""
