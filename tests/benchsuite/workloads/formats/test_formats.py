"""Trace files, row by row: the real ones, and every way in which a row can be broken."""

import gzip
from fractions import Fraction
from pathlib import Path

import pytest

from benchsuite.errors import ScenarioError, TraceError
from benchsuite.workloads.formats import Azure, Jsonl, Mooncake

DATA = Path(__file__).parents[3] / "data"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def write(folder: Path, *lines: str, end: str = "\n") -> str:
    path = folder / "trace"
    path.write_bytes("".join(line + end for line in lines).encode())
    return str(path)


def errors(source) -> list[TraceError]:
    return [row for row in source.rows() if isinstance(row, TraceError)]


@pytest.mark.parametrize("name", ["azure_2023_conv.csv", "azure_2023_code.csv"])
def test_azure_keeps_seven_digits_whatever_the_line_ends(name):
    """Times are the file's own to the last digit: differences by exact fractions, LF and CRLF."""
    lines = (DATA / name).read_text().splitlines()[1:]
    rows = list(Azure(path=str(DATA / name)).rows())
    clock = [line.split(",")[0].split(" ")[1].split(":") for line in lines]
    exact = [Fraction(h) * 3600 + Fraction(m) * 60 + Fraction(s) for h, m, s in clock]
    assert [row.arrival_s for row in rows] == [float(time - exact[0]) for time in exact]
    assert [f"{row.prompt_tokens},{row.output_tokens}" for row in rows] == [
        line.split(",", 1)[1] for line in lines
    ]
    assert [row.line for row in rows] == list(range(2, 12))


def test_azure_tells_two_rows_apart_that_lie_a_tenth_of_a_microsecond_apart(tmp_path):
    """A tick of 100 ns is kept even across midnight."""
    path = write(
        tmp_path,
        HEADER,
        "2023-11-16 23:59:59.9999999,1,1",
        "2023-11-17 00:00:00.0000000,1,1",
        "2024-05-10 00:00:00.009930+00:00,1,0",
    )
    first, second, other_year = Azure(path=path).rows()
    assert (first.arrival_s, second.arrival_s) == (0.0, 1e-7)
    assert first.extra == {"TIMESTAMP": "2023-11-16 23:59:59.9999999"}
    assert second.extra is other_year.extra is None
    assert other_year.arrival_s == pytest.approx(175 * 86400 + 0.0099301, abs=1e-7)
    assert other_year.output_tokens == 0


def test_mooncake_rows_are_the_files():
    """Milliseconds become seconds; lengths and hash ids as written."""
    rows = list(Mooncake(path=str(DATA / "mooncake.jsonl")).rows())
    assert len(rows) == 10
    assert (rows[0].prompt_tokens, rows[0].output_tokens) == (6758, 500)
    assert rows[0].hash_ids == tuple(range(14))
    assert {row.arrival_s for row in rows} == {0.0}


def test_native_rows_are_the_files():
    """Sessions, gaps, messages, classes and answers are read as they are written."""
    rows = list(Jsonl(path=str(DATA / "native.jsonl")).rows())
    assert len(rows) == 10
    assert (rows[2].session_id, rows[2].gap_s, rows[2].arrival_s) == ("a", 2.0, None)
    assert rows[3].messages[1].content == "What is 6 * 7?"
    assert (rows[3].expected, rows[3].grader) == ("42", "number")
    assert rows[0].slo_class == "chat"


def test_a_gzipped_file_reads_like_a_plain_one(tmp_path):
    """Compression is seen in the bytes, whatever the name; a byte-order mark is no part of it."""
    plain = DATA / "azure_2023_conv.csv"
    packed = tmp_path / "trace.csv"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain.read_bytes()))
    assert list(Azure(path=str(packed)).rows()) == list(Azure(path=str(plain)).rows())


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2023-11-16 18:15:46,1", "expected 3 fields, found 2"),
        ("2023-11-16 18:15:46,1,2,3", "expected 3 fields, found 4"),
        ("2023-11-16T18:15:46,1,2", "TIMESTAMP: expected YYYY-MM-DD"),
        ("2023-13-16 18:15:46,1,2", "month"),
        ("2023-11-16 24:15:46,1,2", "TIMESTAMP"),
        ("2023-11-16 18:15:46,x,2", "ContextTokens: expected a whole number, found 'x'"),
        ("2023-11-16 18:15:46,1,-2", "GeneratedTokens: expected a whole number, found '-2'"),
        ("2023-11-16 18:15:46,1,2.5", "GeneratedTokens"),
        ("2023-11-16 18:15:46,,2", "ContextTokens"),
    ],
)
def test_a_broken_azure_row_names_its_line_and_field(tmp_path, row, problem):
    """The rows around it are read; the broken one is the error that describes it."""
    good = "2023-11-16 18:15:46.6805900,374,44"
    path = write(tmp_path, HEADER, good, row, good)
    (error,) = errors(Azure(path=path))
    assert error.line == 3
    assert str(error).startswith(f"{path}:3: ")
    assert problem in error.problem
    assert len(list(Azure(path=path).rows())) == 3


@pytest.mark.parametrize("header", ["", "Timestamp,Model", "2023-11-16 18:15:46.6805900,374,44"])
def test_another_header_is_another_format(tmp_path, header):
    """A file without the header is refused as a whole."""
    path = write(tmp_path, header)
    with pytest.raises(TraceError, match="expected the header"):
        list(Azure(path=path).rows())


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{]", "malformed"),
        ('{"timestamp": 0,', "truncated"),
        ("[]", "expected `object`, got `array`"),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1}', "`hash_ids`"),
        (
            '{"timestamp": "0", "input_length": 1, "output_length": 1, "hash_ids": [1]}',
            "timestamp: expected `float`, got `str`",
        ),
        (
            '{"timestamp": 0, "input_length": 1.5, "output_length": 1, "hash_ids": [1]}',
            "input_length: expected `int`, got `float`",
        ),
        ('{"timestamp": -1, "input_length": 1, "output_length": 1, "hash_ids": [1]}', "timestamp"),
        (
            '{"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [1]}',
            "hash_ids: expected 2 for 513 tokens in blocks of 512, found 1",
        ),
        (
            '{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [1], "x": 1}',
            "unknown field `x` (known: timestamp, input_length, output_length, hash_ids)",
        ),
    ],
)
def test_a_broken_mooncake_row_names_its_line_and_field(tmp_path, row, problem):
    """Types, ranges, unknown fields, and hash ids that do not fit the length."""
    (error,) = errors(Mooncake(path=write(tmp_path, "", row)))
    assert error.line == 2
    assert problem.lower() in error.problem.lower()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"after": [1], "prompt_tokens": 1, "output_tokens": 1}', "after: expected a session_id"),
        ('{"gap_s": 1, "prompt_tokens": 1, "output_tokens": 1}', "session_id"),
        ('{"arrival_s": 0, "output_tokens": 1}', "prompt_tokens or messages"),
        ('{"arrival_s": 0, "prompt_tokens": -1, "output_tokens": 1}', "prompt_tokens"),
        ('{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": -1}', "output_tokens"),
        ('{"arrival_s": 0, "prompt_tokens": 1}', "output_tokens: expected"),
        (
            '{"messages": [{"role": "user"}], "new_messages": [{"role": "user"}]}',
            "messages or new_messages: one of them",
        ),
        (
            '{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1, "hash_ids": [1, 2]}',
            "hash_ids: expected 1 for 1 tokens",
        ),
        ('{"arrival_s": 0, "messages": [], "output_tokens": 1}', "messages"),
        (
            '{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1, "expected": "42"}',
            "expected and grader go together",
        ),
        (
            '{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1, "grader": "guess"}',
            "grader",
        ),
        (
            '{"arrival_s": 0, "messages": [{"role": "bot", "content": ""}], "output_tokens": 1}',
            "messages[0].role",
        ),
        ('{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1, "speed": 1}', "known: "),
    ],
)
def test_a_broken_native_row_names_its_field(tmp_path, row, problem):
    """What is missing, out of range, unknown or does not fit together."""
    (error,) = errors(Jsonl(path=write(tmp_path, row)))
    assert problem in error.problem


@pytest.mark.parametrize("content", [None, b"\x1f\x8b\x08broken"])
def test_a_file_that_cannot_be_read_says_so(tmp_path, content):
    """Missing or damaged: the path and the reason, no traceback."""
    path = tmp_path / "trace.jsonl.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScenarioError, match="cannot be read"):
        list(Mooncake(path=str(path)).rows())
