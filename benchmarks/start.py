"""How long it takes to start: `benchsuite --help`, and a run of one request.

    python benchmarks/start.py [--repeats 7]

Wall-clock seconds from the process's start: to its end, and in between to the moment at which
result.json was written (what follows are the CSVs and report.html). The server (firehose.py)
answers at once. Medians and the quickest of the repeats, which take turns.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from client import HERE, SCENARIO


def helped() -> dict[str, float]:
    started_s = time.time()
    subprocess.run(
        [sys.executable, "-m", "benchsuite", "--help"], check=True, stdout=subprocess.DEVNULL
    )
    return {"--help": time.time() - started_s}


def ran(scenario: Path, out: Path) -> dict[str, float]:
    started_s = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "benchsuite", "run", str(scenario), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    ended_s = time.time()
    assert done.returncode in (0, 4), "one request says little, so the run may be invalid"
    return {
        "one request, to result.json": (out / "result.json").stat().st_mtime - started_s,
        "one request, to the end": ended_s - started_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, str(HERE / "firehose.py"), "--tokens", "16"],
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, list[float]] = {}
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            scenario = Path(folder) / "one.yaml"
            scenario.write_text(SCENARIO.format(url=url, tokens=16, streams=1, requests=1))
            for i in range(given.repeats):
                for name, took_s in (helped() | ran(scenario, Path(folder) / str(i))).items():
                    found.setdefault(name, []).append(took_s)
    finally:
        server.terminate()
        server.wait()
    for name, times_s in found.items():
        print(f"{name:30}{statistics.median(times_s):6.2f} s  quickest {min(times_s):.2f} s")


if __name__ == "__main__":
    main()
