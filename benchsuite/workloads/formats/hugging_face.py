"""Data sets of the Hugging Face hub (extra `datasets`), or files in the forms that lie there."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.request import Message
from benchsuite.spec import NameOrPath, Spec
from benchsuite.workloads.formats import chat
from benchsuite.workloads.formats.base import Name, TraceRow
from benchsuite.workloads.formats.columns import Columns
from benchsuite.workloads.formats.reading import raw_objects


class HuggingFace(Spec, frozen=True, tag="hugging_face"):
    """A data set of the Hugging Face hub, or a file (JSON, JSONL, CSV, Parquet), by column.

    A row is a conversation (`messages`, with `role` and `content` or `from` and `value`), a text
    (`prompt`), or lengths (`prompt_tokens`, `output_tokens`). The hub and folders need `pip install
    benchsuite[datasets]`; a file needs nothing, and has neither `name`, `split` nor `revision`.
    """

    block_tokens: ClassVar[int] = 1  # the format has no hash ids

    path: NameOrPath  # hub id, or a file or folder of JSON, CSV or Parquet
    name: str | None = None  # of the configuration, where the data set has several
    split: str = "train"  # of the data set
    revision: str | None = None  # of the hub's repository: a commit makes a run repeatable
    messages: str | None = None  # column with a conversation
    prompt: str | None = None  # column with a text
    prompt_tokens: str | None = None  # column with the length of the prompt
    output_tokens: str | None = None  # column with the length of the answer
    arrival: str | None = None  # column with the time, in seconds
    session_id: str | None = None  # column whose equal values are one session
    tools: str | None = None  # column with function schemas

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.messages, self.prompt, self.prompt_tokens)) != 1:
            raise ValueError("messages, prompt or prompt_tokens: expected one of them")

    def rows(self) -> Iterator[TraceRow | TraceError]:
        begun: set[Name] = set()
        records = self._in_file() if Path(self.path).is_file() else self._in_data_set()
        for line, raw in records:
            if isinstance(raw, TraceError):
                yield raw
                continue
            try:
                rows = list(self._rows(line, Columns(raw), begun))
            except ValueError as error:
                yield TraceError(self.path, line, str(error))
            else:
                yield from rows

    def _rows(self, line: int, columns: Columns, begun: set[Name]) -> Iterator[TraceRow]:
        session_id = columns.get_or(self.session_id, str, "") or None
        arrival_s = None if self.arrival is None else columns.get(self.arrival, float)
        extra = columns.rest(
            (self.messages, self.prompt, self.prompt_tokens, self.output_tokens, self.tools)
        )
        output_tokens = columns.get_or(self.output_tokens, int, -1)
        if self.messages is not None:
            conversation = columns.get(self.messages, list[dict[str, Any]])
            tools = columns.get_or(self.tools, list[dict[str, Any]], []) or None
            rows = list(
                chat.session(
                    line, line, conversation, tools=tools, extra=extra, arrival_s=arrival_s
                )
            )
            if not rows:
                raise ValueError(f"{self.messages}: expected an answer of the model behind others")
            yield from rows
            return
        is_later = session_id in begun
        if session_id is not None:
            begun.add(session_id)
        yield TraceRow(
            line=line,
            session_id=session_id,
            arrival_s=arrival_s,
            gap_s=0.0 if is_later and arrival_s is None else None,
            prompt_tokens=None
            if self.prompt_tokens is None
            else columns.get(self.prompt_tokens, int),
            output_tokens=output_tokens if output_tokens >= 0 else None,
            messages=None
            if self.prompt is None
            else (Message("user", columns.get(self.prompt, str)),),
            extra=extra,
        )

    def _in_data_set(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            import datasets
        except ImportError as error:
            raise ScenarioError(
                f"{self.path}: no such file; a data set of the hub needs the library: "
                "pip install 'benchsuite[datasets]'"
            ) from error
        try:
            found = datasets.load_dataset(
                self.path, self.name, split=self.split, revision=self.revision
            )
        except Exception as error:  # the library raises nothing narrower
            reason = " ".join(str(error).split())[:300]
            raise ScenarioError(f"{self.path}: cannot be read as a data set: {reason}") from error
        yield from enumerate(found, start=1)

    def _in_file(self) -> Iterator[tuple[int, dict[str, Any] | TraceError]]:
        """(row, record); of JSONL and CSV the line on which it stands, or ends."""
        if (self.name, self.split, self.revision) != (None, "train", None):
            raise ScenarioError(f"{self.path}: a file has no name, split or revision")
        suffixes = [suffix.lower() for suffix in Path(self.path).suffixes]
        if ".parquet" in suffixes:
            yield from _parquet(self.path)
        elif ".csv" in suffixes:
            yield from _csv(self.path)
        else:
            yield from raw_objects(self.path)


def _csv(path: str) -> Iterator[tuple[int, dict[str, Any] | TraceError]]:
    """Fields may have line ends in quotes, as texts do."""
    opened = gzip.open if path.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for fields in reader:
                names = reader.fieldnames or ()
                if None in fields or None in fields.values():
                    problem = f"expected {len(names)} fields: {', '.join(names)}"
                    yield reader.line_num, TraceError(path, reader.line_num, problem)
                else:
                    yield reader.line_num, dict(fields)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def _parquet(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches())
            yield from enumerate((row for batch in batches for row in batch), start=1)
    except (OSError, pa.ArrowException) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
