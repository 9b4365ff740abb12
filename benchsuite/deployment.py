"""Deployment: what stands behind the endpoint, as a section of a scenario.

Nobody can ask a server for its accelerators or its price; what is told here is taken as it is. The
files that it names are read once, when a run begins, and what they say is kept with the run.
"""

from pathlib import Path

import msgspec

from benchsuite.errors import ScenarioError
from benchsuite.metrics.accelerators import ACCELERATORS, Accelerator
from benchsuite.metrics.model_shapes import MODELS, ModelShape, from_config
from benchsuite.metrics.system import Prices, System
from benchsuite.scenario_file import convert
from benchsuite.spec import Count, DataPath, NameOrPath, Positive, Spec
from benchsuite.yaml_file import read


class Deployment(Spec, frozen=True):
    """What was measured: for PTE, utilisation, cost."""

    model: NameOrPath | ModelShape | None = None  # a name, a config.json (or its folder), or sizes
    active_params: Positive | None = None  # overrides what the config.json comes to
    accelerator: str | Accelerator | None = None  # a name, or its numbers
    num_accelerators: Count = 1
    prices: DataPath | Prices | None = None  # a YAML file of prices, or the prices
    model_params: dict[str, Positive] = {}  # active parameters, by the models that requests name

    def __post_init__(self) -> None:
        if isinstance(self.accelerator, str) and self.accelerator not in ACCELERATORS:
            raise ValueError(
                f"unknown accelerator {self.accelerator!r} (known: {', '.join(ACCELERATORS)}; "
                "or give dense_flops_per_s and bytes_per_s)"
            )

    def resolve(self) -> System:
        """Everything as numbers. Raises ScenarioError for a file that cannot be used."""
        return System(
            model=self._model(),
            accelerator=ACCELERATORS[self.accelerator]
            if isinstance(self.accelerator, str)
            else self.accelerator,
            num_accelerators=self.num_accelerators,
            prices=convert(read(Path(self.prices)), Prices)
            if isinstance(self.prices, str)
            else self.prices,
            model_params=self.model_params,
        )

    def _model(self) -> ModelShape | None:
        found = self.model
        if isinstance(found, str):
            found = MODELS.get(found) or _read_config(Path(found))
        if found is None or self.active_params is None:
            return found
        return msgspec.structs.replace(found, active_params=self.active_params)


def _read_config(path: Path) -> ModelShape:
    where = path / "config.json" if path.is_dir() else path
    try:
        return from_config(where.read_bytes())
    except OSError as error:
        known = ", ".join(MODELS)
        raise ScenarioError(
            f"deployment.model: {str(path)!r} is neither a name ({known}) nor a config.json: "
            f"{error.strerror}"
        ) from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise ScenarioError(f"deployment.model: {where}: {error}") from error
