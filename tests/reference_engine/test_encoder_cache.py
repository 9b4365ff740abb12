"""What is in use is never evicted, what is idle never exceeds the room."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.encoder_cache import EncoderCache

ACTIONS = st.lists(st.tuples(st.sampled_from("hrl"), st.integers(0, 4)), max_size=40)


@given(st.integers(0, 12), ACTIONS)
def test_the_cache_keeps_its_promises(capacity: int, actions: list[tuple[str, int]]) -> None:
    """Under any traffic: `hold` says truly whether it is there, held ones stay, the rest fits."""
    cache = EncoderCache(capacity)
    there: set[bytes] = set()
    held: Counter[bytes] = Counter()
    for action, number in actions:
        key, size = b"%d" % number, number + 1
        if action == "h":
            assert cache.hold(key, size) == (key in there)
            there.add(key)
            held[key] += 1
        elif action == "r" and held[key]:
            cache.release(key)
            held[key] -= 1
        elif action == "l" and key in there:
            cache.lose(key)
            there.remove(key)
        gone = cache.evict()
        assert not [key for key in gone if held[key]]
        there -= set(gone)
        sizes = {key: int(key) + 1 for key in there}
        assert cache.num_tokens == sum(sizes.values())
        assert sum(sizes[key] for key in there if not held[key]) <= max(0, capacity)


def test_the_least_recently_used_goes_first() -> None:
    """Used again is used last."""
    cache = EncoderCache(2)
    for key in (b"a", b"b", b"a", b"c"):
        cache.hold(key, 1)
        cache.release(key)
    assert cache.evict() == [b"b"]
