"""What an exporter is: a pure function from a run to the bytes of a file."""

from collections.abc import Callable

from benchsuite.records.table import RunData
from benchsuite.results.result import RunResult

Export = Callable[[RunResult, RunData], bytes]
"""Its docstring says which file of which tool, and what is lost."""
