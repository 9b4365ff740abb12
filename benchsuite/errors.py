"""The whole error tree. A user's mistake is one of these and prints without a traceback.

BenchsuiteError            exit 5
├── ScenarioError          exit 2   file, line, column, key; what was found and expected
│   └── TraceError         exit 2   a broken row of a data file: file, line, field
├── EndpointError          exit 3   url; what it answered
├── RunError               exit 4   a run folder that cannot be read, or a run that cannot count
└── InterruptedRunError    exit 130 by the user, before there was anything to report
"""

from typing import ClassVar


class BenchsuiteError(Exception):
    """Base of every error that is shown to the user as one sentence."""

    exit_code: ClassVar[int] = 5


class ScenarioError(BenchsuiteError):
    """The scenario (or another file the user wrote) says something that cannot be done."""

    exit_code: ClassVar[int] = 2


class TraceError(ScenarioError):
    """A row of a data file is not what its format says."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")
        self.path, self.line, self.problem = path, line, problem

    def __reduce__(self) -> tuple[type["TraceError"], tuple[str, int, str]]:
        return TraceError, (self.path, self.line, self.problem)  # workers send it home


class EndpointError(BenchsuiteError):
    """The server cannot be reached, or never became ready."""

    exit_code: ClassVar[int] = 3


class RunError(BenchsuiteError):
    """A run folder cannot be read, or holds nothing to count."""

    exit_code: ClassVar[int] = 4


class InterruptedRunError(BenchsuiteError):
    """The user ended a run before it had anything to report."""

    exit_code: ClassVar[int] = 130
