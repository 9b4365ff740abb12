"""How well the goodput search finds a rate that queueing theory knows, and its interval holds it.

    python -m benchmarks.goodput [--searches 200]

Simulated M/M/1 and M/D/1 queues, 50,000 requests a measurement, target 0.9. Pure arithmetic: the
same seeds give the same figures on any machine.
"""

import argparse
import time

import numpy as np

from benchsuite.metrics.goodput import Goal
from tests.papers.test_goodput import TARGET, searched
from tests.queues import highest_rate, within_md1, within_mm1

QUEUES = {"M/M/1": (within_mm1, False, 20.0), "M/D/1": (within_md1, True, 6.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--searches", type=int, default=200)
    options = parser.parse_args()
    goal = Goal(start=0.3, lowest=0.01, highest=4.0, max_looks=8, max_readings=200)
    for name, (within, is_constant, limit_s) in QUEUES.items():
        true, begun_s = highest_rate(within, limit_s, TARGET), time.process_time()
        errors, looks, num_covered = [], [], 0
        for seed in range(options.searches):
            found, num = searched(goal, seed, is_constant=is_constant, limit_s=limit_s, n=50_000)
            assert found.rate is not None, f"{name}, seed {seed}: censored"
            assert found.interval is not None
            errors.append(found.rate / true - 1)
            looks.append(num)
            num_covered += bool(found.interval[0] <= true <= found.interval[1])
        mean, most = 100 * np.mean(errors), 100 * np.abs(errors).max()
        print(
            f"{name}: rate {true:.4f}; of {options.searches} searches {num_covered} intervals hold "
            f"it; rates {mean:+.2f} % off on average, {most:.2f} % at most; {np.mean(looks):.1f} "
            f"measurements each; {time.process_time() - begun_s:.0f} CPU-s"
        )


if __name__ == "__main__":
    main()
