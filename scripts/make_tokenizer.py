"""Train the bundled tokenizer: an 8,192-entry byte-level BPE, the same file for the same texts.

    python scripts/make_tokenizer.py --out benchsuite/data/tokenizer.json.gz TEXT...

Each TEXT is a UTF-8 file (plain or .gz); only its first megabyte counts, so that no long book
decides the vocabulary alone. benchsuite/data/README.md names the texts that were used.
"""

import argparse
import gzip
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def read_text(path: Path, limit_bytes: int) -> str:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    return raw[:limit_bytes].decode(errors="ignore")


def train(texts: list[str], vocab_size: int) -> Tokenizer:
    """Every byte is in the alphabet, so any UTF-8 text survives encoding and decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--limit-bytes", type=int, default=1_000_000)
    args = parser.parse_args()
    tokenizer = train([read_text(p, args.limit_bytes) for p in args.texts], args.vocab_size)
    json = tokenizer.to_str(pretty=False).encode()
    args.out.write_bytes(gzip.compress(json, compresslevel=9, mtime=0))
    print(f"{args.out}: {tokenizer.get_vocab_size()} entries, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
