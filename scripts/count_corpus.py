"""Count the tokens of the corpus's words under the bundled tokenizer, so that no run has to.

    python scripts/count_corpus.py --out benchsuite/data/corpus_tokens.gz

Two bytes for each different word, in the order in which they come first: all counts within a text,
where a space stands before the word, then all counts at a text's start. To be made anew whenever
the corpus or the tokenizer is.
"""

import argparse
import gzip
import importlib.resources
from pathlib import Path

import tokenizers

DATA = importlib.resources.files("benchsuite") / "data"


def counts() -> bytes:
    """The file, unpacked."""
    tokenizer = tokenizers.Tokenizer.from_str(_unpacked("tokenizer.json.gz"))
    words = list(dict.fromkeys(_unpacked("corpus.txt.gz").split()))
    inside = tokenizer.encode_batch_fast([f" {word}" for word in words], add_special_tokens=False)
    at_start = tokenizer.encode_batch_fast(words, add_special_tokens=False)
    return bytes(len(encoding) for encoding in (*inside, *at_start))


def _unpacked(name: str) -> str:
    return gzip.decompress((DATA / name).read_bytes()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    args.out.write_bytes(gzip.compress(counts(), compresslevel=9, mtime=0))
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
