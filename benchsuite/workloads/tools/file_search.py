"""A tool that looks words up in a folder of texts."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from benchsuite.message import Tool
from benchsuite.spec import Count, DataPath, Spec
from benchsuite.tools.base import Outcome
from benchsuite.tools.file_search import search

_PARAMETERS: Final = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "words to look for"}},
    "required": ["query"],
}


class FileSearch(Spec, frozen=True, tag="file_search"):
    """Really searches a folder; its answer is the lines that hold most of the query's words."""

    is_real: ClassVar[bool] = True

    path: DataPath  # the folder
    name: str = "search"  # as the model calls it
    most: Count = 10  # lines of an answer

    def tool(self) -> Tool:
        return Tool(self.name, "Finds lines that hold the words of a query.", _PARAMETERS)

    def call(self, arguments: Mapping[str, Any], key: tuple[int, ...]) -> Outcome:
        return Outcome(search(self.path, arguments["query"], self.most))
