"""System: what was measured, as far as it was told: model, accelerators, prices. Numbers only."""

from msgspec import Struct

from benchsuite.metrics.accelerators import Accelerator
from benchsuite.metrics.model_shapes import ModelShape
from benchsuite.spec import Spec


class Prices(Spec, frozen=True, kw_only=True):
    """What things cost, in US dollars. What is not known is left out."""

    usd_per_accelerator_hour: float | None = None
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_cached_tokens: float | None = None  # unset: as much as others
    usd_per_million_output_tokens: float | None = None


class System(Struct, frozen=True, kw_only=True):
    """What stands behind the endpoint. None: nobody told."""

    model: ModelShape | None = None
    accelerator: Accelerator | None = None
    num_accelerators: int = 1
    prices: Prices | None = None
    model_params: dict[str, float] = {}  # activated by a token, by the name that a request asks for

    @property
    def lacks(self) -> str | None:
        """Why nothing can be said of model and accelerator together; None if it can."""
        missing = [
            name
            for name, value in (("model", self.model), ("accelerator", self.accelerator))
            if value is None
        ]
        return f"no deployment.{' and no deployment.'.join(missing)}" if missing else None


UNTOLD = System()
