"""KV memory keeps what it is given, whichever way keys lie in it."""

import pytest
import torch

from reference_engine.model.cache import KvCache, KvShape
from reference_engine.model.paged_cache import PagedCache

ON_GPU = torch.cuda.is_available()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pages_come_back_from_host_memory_as_they_went(dtype: torch.dtype) -> None:
    """Bit for bit, to other blocks and in another order; no other block changes."""
    device = torch.device("cuda" if ON_GPU else "cpu")
    pages = PagedCache(KvShape(3, 4, 2, 6, 4, 20, 8, 8), dtype, device)
    pages.keys.normal_()
    pages.values.normal_()
    keys, values = pages.keys.clone(), pages.values.clone()
    content = pages.read_blocks([5, 1, 6])
    assert (content.device.type, content.is_pinned()) == ("cpu", ON_GPU)
    pages.keys[:, [5, 1, 6]] = pages.values[:, [5, 1, 6]] = 0.0
    assert torch.equal(content[0].to(device), keys[:, [5, 1, 6]]), "a view, not a copy"
    pages.write_blocks([0, 7, 2], content)
    for found, old in ((pages.keys, keys), (pages.values, values)):
        assert torch.equal(found[:, [0, 7, 2]], old[:, [5, 1, 6]])
        assert torch.equal(found[:, [3, 4, 8]], old[:, [3, 4, 8]])
        assert not found[:, [5, 1, 6]].any()


def test_stored_blocks_come_back_from_host_memory_as_they_went(cache: KvCache) -> None:
    keys, values = cache.keys[:, 1, ..., :16].clone(), cache.values[:, 1, :, :16].clone()
    cache.save_blocks(1, first=0, blocks=[5, 2])
    content = cache.read_blocks([5, 2])
    cache.save_blocks(2, first=0, blocks=[5, 2])
    cache.write_blocks([0, 7], content)
    cache.load_blocks(3, [0, 7])
    assert torch.equal(cache.keys[:, 3, ..., :16], keys)
    assert torch.equal(cache.values[:, 3, :, :16], values)
