"""KV memory keeps what it is given, whichever way keys lie in it."""

import pytest
import torch

from reference_engine.model.cache import KvCache, KvShape


@pytest.fixture(params=[2, 4], ids=["multi-head", "grouped"])
def cache(request: pytest.FixtureRequest) -> KvCache:
    """3 layers, 4 slots of 20 tokens, 8 blocks of 8; all numbers in the slots differ."""
    shape = KvShape(3, request.param, 2, 6, 4, 20, 8, 8)
    made = KvCache(shape, torch.float32, torch.device("cpu"))
    made.keys.copy_(torch.arange(made.keys.numel()).view(made.keys.shape))
    made.values.copy_(-torch.arange(made.values.numel()).view(made.values.shape))
    return made


def test_a_block_outlives_its_slot(cache: KvCache) -> None:
    """Blocks saved from one slot and loaded, in another order, into another are the same tokens."""
    keys, values = cache.keys[:, 1].clone(), cache.values[:, 1].clone()
    cache.save_blocks(1, first=0, blocks=[5, 2])
    cache.keys[:, 1], cache.values[:, 1] = 0.0, 0.0
    cache.load_blocks(3, [2, 5])
    assert torch.equal(cache.keys[:, 3, ..., :16], torch.cat((keys[..., 8:16], keys[..., :8]), -1))
    assert torch.equal(cache.values[:, 3, :, :8], values[:, :, 8:16])
    assert torch.equal(cache.values[:, 3, :, 8:16], values[:, :, :8])


def test_a_later_block_is_saved_alone(cache: KvCache) -> None:
    """`first` counts blocks from the front of the slot."""
    expected = cache.values[:, 0, :, 8:16].clone()
    cache.save_blocks(0, first=1, blocks=[7])
    cache.load_blocks(2, [7])
    assert torch.equal(cache.values[:, 2, :, :8], expected)


def test_a_block_that_sticks_out_of_the_slot_is_cut(cache: KvCache) -> None:
    """The longest sequence need not end with a block."""
    cache.save_blocks(0, first=0, blocks=[0, 1])
    cache.load_blocks(1, [1, 0, 1])
    assert torch.equal(cache.keys[:, 1, ..., 16:], cache.keys[:, 0, ..., 8:12])


def test_a_move_takes_the_front_of_a_slot_and_no_more(cache: KvCache) -> None:
    """Tokens below the count are copied, those above stay."""
    keys, values = cache.keys.clone(), cache.values.clone()
    cache.move(2, 0, 11)
    assert torch.equal(cache.keys[:, 0, ..., :11], keys[:, 2, ..., :11])
    assert torch.equal(cache.keys[:, 0, ..., 11:], keys[:, 0, ..., 11:])
    assert torch.equal(cache.values[:, 0, :, :11], values[:, 2, :, :11])
    assert torch.equal(cache.values[:, 1:], values[:, 1:])
