"""Speed of making prompts of exactly n tokens, one core, each checked by encoding it again.

    python benchmarks/prompts.py [--num-prompts 10000] [--tokens 1000] [--tokenizer bundled]

`make` is the whole way that a run takes (`Pieces.render`); `unchecked` leaves out the encoding, and
so shows what the check costs. `corpus` is spent once per process.
"""

import argparse
import time
from collections import Counter

from benchsuite import streams
from benchsuite.workloads.prompts import Piece, Pieces
from benchsuite.workloads.tokenizer import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-prompts", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=1_000)
    parser.add_argument("--tokenizer", default="bundled")
    args = parser.parse_args()

    began = time.perf_counter()
    tokenizer = load(args.tokenizer)
    tokenizer.text(1, streams.rng(0))
    print(f"corpus     {time.perf_counter() - began:7.2f} s   {args.tokenizer}")

    began = time.perf_counter()
    for i in range(args.num_prompts):
        tokenizer.passage(args.tokens, streams.rng(1, "prompt", i))
    print(f"unchecked  {time.perf_counter() - began:7.2f} s   {args.num_prompts} prompts")

    began = time.perf_counter()
    achieved = Counter(
        Pieces(tokenizer, 1, (Piece(("prompt", i), args.tokens),)).render().prompt_tokens
        for i in range(args.num_prompts)
    )
    spent_s = time.perf_counter() - began
    tokens_per_s = sum(n * count for n, count in achieved.items()) / spent_s
    print(f"make       {spent_s:7.2f} s   {tokens_per_s / 1e6:.2f} million tokens/s")
    print(f"exact      {achieved[args.tokens]} of {args.num_prompts}")


if __name__ == "__main__":
    main()
