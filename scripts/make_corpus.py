"""Make the corpus that prompts are cut from: prose, one paragraph a line, the same file each time.

    python scripts/make_corpus.py --out benchsuite/data/corpus.txt.gz TEXT...

Each TEXT is a UTF-8 file (plain or .gz) whose paragraphs are separated by empty lines.
benchsuite/data/README.md names the texts that were used.
"""

import argparse
import gzip
import re
from pathlib import Path

SHORTEST_PARAGRAPH = 60  # characters; drops titles, chapter numbers and signatures


def paragraphs(path: Path) -> list[str]:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    blocks = re.split(r"\n\s*\n", raw.decode().replace("_", ""))  # _emphasis_ of plain-text books
    prose = (" ".join(block.split()) for block in blocks)
    return [paragraph for paragraph in prose if len(paragraph) >= SHORTEST_PARAGRAPH]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    lines = [paragraph for path in args.texts for paragraph in paragraphs(path)]
    text = "\n".join(lines) + "\n"
    args.out.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{args.out}: {len(text.split())} words, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
