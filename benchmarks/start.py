"""How long it takes to start: `benchsuite --help`, and a run of one request.

    python benchmarks/start.py [--repeats 7] [--beside DIR]

Wall-clock seconds from the process's start: to its end, and in between to the moment at which
result.json was written (what follows are the CSVs and report.html). The server (firehose.py)
answers at once. Medians and the quickest of the repeats, which take turns. Modules are compiled
before, as they are where a program is installed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from client import HERE, SCENARIO


def helped(env: dict[str, str]) -> dict[str, float]:
    started_s = time.time()
    subprocess.run(
        [sys.executable, "-m", "benchsuite", "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=env,
    )
    return {"--help": time.time() - started_s}


def ran(scenario: Path, out: Path, env: dict[str, str]) -> dict[str, float]:
    started_s = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "benchsuite", "run", str(scenario), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        check=False,
        env=env,
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
    parser.add_argument("--beside", metavar="DIR", help="another checkout of this project")
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sides = {"": dict(os.environ)}
    if given.beside:
        sides[" (beside)"] = {**os.environ, "PYTHONPATH": given.beside}
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
            for i in range(-1, given.repeats):
                for side, env in sides.items():
                    out = Path(folder) / f"{i}{side}"
                    for name, took_s in (helped(env) | ran(scenario, out, env)).items():
                        if i >= 0:  # the first turn compiles
                            found.setdefault(name + side, []).append(took_s)
    finally:
        server.terminate()
        server.wait()
    for name, times_s in found.items():
        print(f"{name:40}{statistics.median(times_s):6.2f} s  quickest {min(times_s):.2f} s")


if __name__ == "__main__":
    main()
