"""The wire types of the OpenAI API and vLLM's additions."""
