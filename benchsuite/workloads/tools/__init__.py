"""What an agent may call: every choice of `tools: [{type: ...}]`."""

from benchsuite.workloads.tools.file_search import FileSearch
from benchsuite.workloads.tools.python import Python
from benchsuite.workloads.tools.stub import Stub

AgentTool = Stub | Python | FileSearch

__all__ = ["AgentTool", "FileSearch", "Python", "Stub"]
