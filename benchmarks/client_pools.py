"""How concentrated and how bursty the clients of ServeGen pools are.

    python benchmarks/client_pools.py POOL...

A POOL is what the workload `servegen` reads. A client's share is of all requests that its rates
promise. CVs are those in the file, of every 10-minute window in which a client sends anything:
their median, and the CV below which windows have half of the rate.
"""

import argparse

import numpy as np

from benchsuite.workloads.formats import client_pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pools", nargs="+", metavar="POOL")
    print("| pool | clients | top 10 | clients for 90 % | CV, median | CV, median by rate |")
    print("|---|---|---|---|---|---|")
    for path in parser.parse_args().pools:
        print(row(path))


def row(path: str) -> str:
    clients = client_pool.read(path)
    rates = [sum(window.rate for window in client.windows) for client in clients]
    shares = np.sort(rates)[::-1].cumsum() / sum(rates)
    windows = sorted(
        (window.cv, window.rate) for client in clients for window in client.windows if window.rate
    )
    cv, rate = np.array(windows).T
    by_rate = cv[np.searchsorted(rate.cumsum(), rate.sum() / 2)]
    return (
        f"| {path.rpartition('/')[2]} | {len(clients)} | {shares[:10][-1]:.1%} "
        f"| {np.searchsorted(shares, 0.9) + 1} | {np.median(cv):.2f} | {by_rate:.2f} |"
    )


if __name__ == "__main__":
    main()
