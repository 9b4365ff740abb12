"""Which encoder outputs are kept: those in use, and what room is left to the most recently used.

Knows keys and sizes, no tensors.
"""

from collections import OrderedDict


class EncoderCache:
    """Room for `capacity_tokens`; what is held may exceed it, what is idle may not."""

    def __init__(self, capacity_tokens: int) -> None:
        self._capacity_tokens = capacity_tokens
        self._holders: dict[bytes, int] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()  # least recently used first
        self._tokens: dict[bytes, int] = {}
        self.num_tokens = 0

    def __contains__(self, key: bytes) -> bool:
        return key in self._tokens

    def hold(self, key: bytes, num_tokens: int) -> bool:
        """Keep it until as many `release`s; whether it was there, else it is to be made now."""
        is_there = key in self._tokens
        if not is_there:
            self._tokens[key] = num_tokens
            self.num_tokens += num_tokens
        self._idle.pop(key, None)
        self._holders[key] = self._holders.get(key, 0) + 1
        return is_there

    def release(self, key: bytes) -> None:
        """One holder less."""
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            if key in self._tokens:  # unless it was lost
                self._idle[key] = None

    def evict(self) -> list[bytes]:
        """Keys that must go for the rest to fit."""
        gone = []
        while self.num_tokens > self._capacity_tokens and self._idle:
            key, _ = self._idle.popitem(last=False)
            self.num_tokens -= self._tokens.pop(key)
            gone.append(key)
        return gone

    def lose(self, key: bytes) -> None:
        """It could not be made: nobody finds it any more; its holders still release it."""
        self.num_tokens -= self._tokens.pop(key, 0)
        self._idle.pop(key, None)
