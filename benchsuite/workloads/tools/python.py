"""A tool that runs Python, as PTE's solvers of mathematics have."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from benchsuite.message import Tool
from benchsuite.spec import Count, Seconds, Spec
from benchsuite.tools.base import Outcome
from benchsuite.tools.sandbox import SandboxLimits, run_python

_PARAMETERS: Final = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python source"}},
    "required": ["code"],
}


class Python(Spec, frozen=True, tag="python"):
    """Really runs Python in a process of its own, with limits; its answer is what that prints.

    It is no jail: do not offer it to a model that somebody hostile can talk to.
    """

    is_real: ClassVar[bool] = True

    name: str = "python"  # as the model calls it
    timeout: Seconds = 10.0  # of one call
    memory_mb: Count = 512  # of one call
    output_bytes: Count = 16384  # longest answer; what prints more is ended

    def tool(self) -> Tool:
        said = "Runs Python and returns what it prints. Nothing is kept from call to call."
        return Tool(self.name, said, _PARAMETERS)

    def call(self, arguments: Mapping[str, Any], key: tuple[int, ...]) -> Outcome:
        limits = SandboxLimits(self.timeout, self.memory_mb * 1024 * 1024, self.output_bytes)
        return run_python(arguments["code"], limits)
