"""What an accelerator is called. Apart, since it loads torch."""

import torch

from reference_engine.specs import ConfigError


def device_name(device: str) -> str:
    """The board's name, e.g. NVIDIA H200. Raises ConfigError if there is none."""
    try:
        return torch.cuda.get_device_name(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device!r} cannot be used: {error}") from error


def memory_bytes(device: str) -> int:
    """What the board has. Raises ConfigError if there is none."""
    try:
        return torch.cuda.get_device_properties(device).total_memory
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device!r} cannot be used: {error}") from error
