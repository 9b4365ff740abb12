"""Speed of making prompts of exactly n tokens, one core.

    python benchmarks/prompts.py [--num-prompts 10000] [--tokens 1000] [--tokenizer bundled]

`make` is the whole way that a run takes (`Pieces.render`), from a cold start: what it needs of the
corpus is encoded with it. `again` is the same once that is known. `exact` counts the prompts that
have the length asked when each is encoded as a whole, which a run need not do, and says how long
that takes. `peak` is the memory of the whole process.
"""

import argparse
import resource
import time

from benchsuite import streams
from benchsuite.request import Rendered
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

    def rendered(i: int) -> Rendered:
        return Pieces(tokenizer, 1, (Piece(("prompt", i), args.tokens),)).render()

    for name in ("make", "again"):
        began, cpu_s = time.perf_counter(), time.process_time()
        achieved = sum(rendered(i).prompt_tokens for i in range(args.num_prompts))
        spent_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
        rate = achieved / spent_s / 1e6
        print(f"{name:<10} {spent_s:7.2f} s   {rate:.2f} million tokens/s, {cpu_s:.2f} CPU-s")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak       {peak_mib:7.0f} MiB")

    began, cpu_s = time.perf_counter(), time.process_time()
    exact = sum(
        tokenizer.count(str(rendered(i).messages[0].content)) == args.tokens
        for i in range(args.num_prompts)
    )
    spent_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    print(f"exact      {spent_s:7.2f} s   {exact} of {args.num_prompts}, {cpu_s:.2f} CPU-s")


if __name__ == "__main__":
    main()
