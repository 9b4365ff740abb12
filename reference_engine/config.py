"""EngineConfig: everything that decides how an engine behaves, frozen, from JSON."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from reference_engine.behaviour import Behaviour
from reference_engine.executors import Executor, Torch
from reference_engine.model_source import ModelSource
from reference_engine.policies import ChunkedPrefill, Policy
from reference_engine.specs import Capacity, ConfigError, Count, NameOrPath, Spec
from reference_engine.timeouts import ServerTimeouts


class EngineConfig(Spec, frozen=True):
    """One engine. Every default is written out by `msgspec.json.encode`."""

    model: NameOrPath = "tiny"  # a name in specs.PRESETS, or a Hugging Face folder
    model_name: str | None = None  # as clients call it; None: preset or folder name
    seed: int = 0  # of random weights and of unseeded sampling
    tokenizer: NameOrPath | None = None  # a tokenizer.json(.gz); None: the model's, else bytes
    executor: Executor = Torch()
    policy: Policy = ChunkedPrefill()
    block_size: Count = 16  # tokens
    num_blocks: Count | None = None  # None: what the executor has room for
    max_sequences: Count = 64  # in one batch
    max_model_len: Count | None = None  # tokens; None: the model's own, or the pool's if less
    max_queue: Count | None = None  # more that wait are refused (429); None: all may
    preemption: Literal["recompute", "swap"] = "recompute"
    swap_blocks: Count | None = None  # of each worker; None: as many as KV blocks
    prefix_caching: bool = True
    prefix_cache_blocks: Count | None = None
    prefix_cache_ttl_s: Annotated[float, Meta(gt=0)] | None = None
    image_tokens: Count = 256  # at most; larger images are scaled down
    encoder_cache_tokens: Count = 16384  # of images and sound that nobody reads just now
    timeouts: ServerTimeouts = ServerTimeouts()
    behaviour: Behaviour = Behaviour()

    @property
    def source(self) -> ModelSource:
        return ModelSource(name=self.model, seed=self.seed)

    @property
    def served_name(self) -> str:
        return self.model_name or Path(self.model).name

    def swap_space(self, capacity: Capacity) -> int:
        """Blocks of host memory to one worker of `capacity`."""
        if self.preemption == "recompute":
            return 0
        return self.swap_blocks or capacity.num_blocks

    def capacity(self) -> Capacity:
        """What one worker holds. Raises ConfigError if the model is not found or does not fit."""
        shape = self.source.shape()
        if (self.max_model_len or 0) > shape.max_position:
            raise ConfigError(
                f"max_model_len {self.max_model_len} is more than the {shape.max_position} "
                f"positions of model {self.model!r}"
            )
        blocks = self.num_blocks or self.executor.default_blocks(shape, self.block_size)
        pool_tokens = blocks * self.block_size
        return Capacity(
            num_blocks=blocks,
            block_size=self.block_size,
            max_sequences=self.max_sequences,
            max_model_len=self.max_model_len or min(shape.max_position, pool_tokens),
        )


def load(path: Path) -> EngineConfig:
    """Read a JSON file. Raises ConfigError with file and key."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineConfig)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
