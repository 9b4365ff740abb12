"""The decoder in plain torch. Nothing here knows of sequences, scheduling or text."""
