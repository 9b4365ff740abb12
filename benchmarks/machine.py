"""Is the machine itself on time? How long the same system calls take, again and again.

    python benchmarks/machine.py [--seconds 8]

Forty messages through a pair of sockets and half a millisecond of sleep in turn. On a machine of
one's own nearly every turn takes as long as the median one. Where the same calls take several times
as much CPU for many milliseconds on end, a client cannot send on time meanwhile.
"""

import argparse
import socket
import time

import numpy as np

SLOW = 3.0  # times the median
APART_S = 0.005  # between two slow stretches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    left, right = socket.socketpair()
    turns = []
    end_s = time.perf_counter() + args.seconds
    while (began_s := time.perf_counter()) < end_s:
        cpu_s = time.thread_time()
        for _ in range(40):
            left.send(b"x" * 250)
            right.recv(1000)
        turns.append((began_s, time.perf_counter() - began_s, time.thread_time() - cpu_s))
        time.sleep(0.0005)
    at_s, took_s, cpu_s = np.array(turns).T
    is_slow = took_s > SLOW * np.median(took_s)
    slow_at_s = at_s[is_slow]
    num = int((np.diff(slow_at_s) > APART_S).sum()) + 1 if len(slow_at_s) else 0
    median_ms, most_ms = np.median(took_s) * 1e3, took_s.max() * 1e3
    print(f"{len(took_s)} turns: median {median_ms:.3f} ms, most {most_ms:.3f} ms")
    print(f"{is_slow.mean():.2%} took over {SLOW:g} times the median, in {num} stretches")
    if num:
        share = cpu_s[is_slow].sum() / took_s[is_slow].sum()
        print(f"of these, {share:.0%} of the time counts as the process's own CPU")


if __name__ == "__main__":
    main()
