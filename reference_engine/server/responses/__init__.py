"""/v1/responses: its requests said as chat, its answers as items and events."""
