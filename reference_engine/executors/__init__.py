"""How a step is carried out: Executor = Torch | Roofline. Heavy libraries load in `build` only."""

from typing import Annotated, Literal

from msgspec import Meta

from reference_engine.executors.base import StepExecutor
from reference_engine.executors.roofline import RooflineExecutor
from reference_engine.model_source import ModelSource
from reference_engine.specs import (
    DEVICES,
    Capacity,
    ConfigError,
    Count,
    DeviceSpec,
    ModelShape,
    Spec,
)

Efficiency = Annotated[float, Meta(gt=0, le=1)]

GPU_MEMORY_SHARE = 0.8
"""Of a GPU's memory, for weights and KV together; the rest is for activations and graphs."""

NumberType = Literal["float32", "bfloat16", "float16", "int8"]


class Torch(Spec, frozen=True, tag="torch"):
    """Runs the model with PyTorch; needs the `engine` extra."""

    device: str = "cpu"
    dtype: NumberType | None = None  # None: see `number_type`; int8: of weights only, CPU only
    threads: Count | None = None  # None: the executor's own choice
    worker_devices: tuple[str, ...] = ()  # of each worker in turn; empty: all on `device`

    def default_blocks(self, shape: ModelShape, block_size: int) -> int:
        """Blocks for four full-length sequences; on a GPU for 256, if it has the memory.

        Raises ConfigError if the weights leave none.
        """
        devices = self.worker_devices or (self.device,)
        if not devices[0].startswith("cuda"):
            return -(-4 * shape.max_position // block_size)
        from reference_engine.executors.device_name import memory_bytes

        number_bytes = 4 if self.number_type == "float32" else 2
        room = GPU_MEMORY_SHARE * memory_bytes(devices[0]) - shape.num_params * number_bytes
        token_bytes = shape.kv_bytes_per_token / shape.dtype_bytes * number_bytes
        tokens = min(room / token_bytes, 256 * shape.max_position)
        if tokens < block_size:
            raise ConfigError(f"the model's weights leave no memory for KV on {devices[0]!r}")
        return int(tokens // block_size)

    @property
    def number_type(self) -> str:
        """Unless given, bfloat16 on CUDA and float32 elsewhere: CPUs are slow at anything less."""
        devices = self.worker_devices or (self.device,)
        on_cuda = all(device.startswith("cuda") for device in devices)
        return self.dtype or ("bfloat16" if on_cuda else "float32")

    def build(self, source: ModelSource, capacity: Capacity, worker: int = 0) -> StepExecutor:
        """Load the model for worker number `worker`. Raises ConfigError if it cannot be run."""
        try:
            from reference_engine.executors.torch_executor import TorchExecutor
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the torch executor needs the extra `engine` (there is no module {error.name!r}): "
                'pip install "benchsuite[engine]"'
            ) from error

        devices = self.worker_devices or (self.device,)
        device = devices[worker % len(devices)]
        kind = TorchExecutor
        if device.startswith("cuda"):
            from reference_engine.executors.paged_executor import PagedExecutor

            kind = PagedExecutor
        return kind(
            source,
            capacity,
            device=device,
            dtype=self.number_type,
            threads=self.threads,
        )


class Roofline(Spec, frozen=True, tag="roofline"):
    """Sleeps for as long as each step would take: max(FLOPs/peak, bytes/bandwidth) + overhead.

    `device` is a name in `DEVICES` or its numbers. The efficiencies are the shares of peak and
    bandwidth that are reached; 1 is the bound itself.
    """

    device: str | DeviceSpec = "h100"
    flops_efficiency: Efficiency = 1.0
    bandwidth_efficiency: Efficiency = 1.0
    overhead_s: Annotated[float, Meta(ge=0)] = 200e-6  # scheduling, launch and sampling of a step
    prefill_overhead_s: Annotated[float, Meta(ge=0)] | None = (
        None  # of one that prefills; None: overhead_s
    )
    overhead_per_sequence_s: Annotated[float, Meta(ge=0)] = 0.0  # of a step, for each in it
    memory_share: Efficiency = 0.9  # of device memory, for weights and KV together
    link_bytes_per_s: Annotated[float, Meta(gt=0)] = 50e9  # into a worker: one 400 Gbit/s port

    def __post_init__(self) -> None:
        if isinstance(self.device, str) and self.device not in DEVICES:
            known = ", ".join(DEVICES)
            raise ValueError(f"unknown device {self.device!r} (known: {known})")

    @property
    def device_spec(self) -> DeviceSpec:
        return DEVICES[self.device] if isinstance(self.device, str) else self.device

    @property
    def reached(self) -> DeviceSpec:
        """The device at its efficiencies."""
        device = self.device_spec
        return DeviceSpec(
            peak_flops_per_s=device.peak_flops_per_s * self.flops_efficiency,
            bytes_per_s=device.bytes_per_s * self.bandwidth_efficiency,
            memory_bytes=device.memory_bytes,
            host_bytes_per_s=device.host_bytes_per_s,
        )

    def default_blocks(self, shape: ModelShape, block_size: int) -> int:
        """Blocks in what memory the weights leave. Raises ConfigError if they leave none."""
        room = self.memory_share * self.device_spec.memory_bytes
        room -= shape.weights_bytes
        blocks = int(room // (shape.kv_bytes_per_token * block_size))
        if blocks < 1:
            raise ConfigError(f"the model's weights leave no memory for KV on {self.device!r}")
        return blocks

    def build(self, source: ModelSource, capacity: Capacity, worker: int = 0) -> StepExecutor:
        """Never fails: there is nothing to load."""
        return RooflineExecutor(
            source.shape(),
            self.reached,
            self.overhead_s,
            source.seed,
            block_size=capacity.block_size,
            link_bytes_per_s=self.link_bytes_per_s,
            overhead_per_sequence_s=self.overhead_per_sequence_s,
            prefill_overhead_s=self.prefill_overhead_s,
        )


Executor = Torch | Roofline
