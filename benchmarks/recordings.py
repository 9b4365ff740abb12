"""Every recording of a folder through every command: described, converted, replayed in part.

    python benchmarks/recordings.py DIR [--only PART_OF_NAME] [--sessions 3]

DIR holds public traces and trajectories under the names below. `describe` counts what the file
holds and says how long that took; `convert` writes it in the native form, of which every row must
be read back equal in every field, must hold every text and number of the file (`kept.py`), and must
be described the same to the last digit; the first sessions of what was converted are replayed
against one server of the bundled engine (the sizes of its preset tiny, but 65,536 positions),
prompts of traces scaled to at most 1,024 tokens, recorded messages as they are, two turns a
session, gaps at a thousandth; `--sessions 0` replays nothing. What differs first is printed under
the row. Whatever differs, is lost or is not answered ends the script with 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from kept import first_difference, first_lost
from safetensors.torch import save_file

from benchsuite.workloads import conversion
from reference_engine.model.tensors import tensor_sizes
from reference_engine.model_source import PRESETS

INVALID: Final = 4  # exit code of a run
TOKENIZER: Final = Path(__file__).parents[1] / "benchsuite" / "data" / "tokenizer.json.gz"

COLUMNS: Final = (
    *("file", "rows broken", "sessions", "requests", "describe, s"),
    *("rows read back", "of the file", "described again", "replayed"),
)


class Recording(NamedTuple):
    name: str
    format: str
    options: dict[str, str] = {}  # a value of `DIR/...` is a file beside it


_TAU: Final = {"tools": "DIR/tau_bench_tools.json"}
_TAU2: Final = {"tools": "DIR/tau2_bench_tools.json"}
_BFCL: Final = {"functions": "DIR/bfcl_v4_func_docs.json.gz"}

RECORDINGS: Final = (
    Recording("azure_llm_2023_code.csv.gz", "azure"),
    Recording("azure_llm_2023_conv_h1.csv.gz", "azure"),
    Recording("mooncake_conversation.jsonl.gz", "mooncake"),
    Recording("weka_agentic_coding_a.jsonl.gz", "weka"),
    Recording("servegen_language_m_large_16.jsonl.gz", "servegen", {"duration": "3600"}),
    Recording("servegen_multimodal_image.jsonl.gz", "servegen", {"duration": "600"}),
    Recording("servegen_reason_deepseek_r1.jsonl.gz", "servegen", {"duration": "600"}),
    Recording("bfcl_v4_live_simple.jsonl.gz", "bfcl"),
    Recording("bfcl_v4_parallel_multiple.jsonl.gz", "bfcl"),
    Recording("bfcl_v4_multi_turn_base.jsonl.gz", "bfcl", _BFCL),
    Recording("bfcl_v4_multi_turn_long_context.jsonl.gz", "bfcl", _BFCL),
    Recording("mlcommons_agentic_coding_swe.jsonl.gz", "mlcommons_agentic"),
    Recording("openhands_multi_swe_bench.jsonl.gz", "openhands"),
    Recording("swe_agent_demos.jsonl.gz", "swe_agent"),
    Recording("tau2_bench_airline_gpt5_toolorchestra.jsonl.gz", "tau_bench", _TAU2),
    Recording("tau_bench_airline_gpt4o.jsonl.gz", "tau_bench", _TAU),
    Recording("tau_bench_retail_fewshot.jsonl.gz", "tau_bench", _TAU | {"domain": "retail"}),
    Recording("toolbench_examples.jsonl.gz", "toolbench"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--sessions", type=int, default=3)
    args = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    is_good = True
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch)) as url:
        for one in RECORDINGS:
            path = args.folder / one.name
            if args.only in one.name and path.exists():
                is_good &= row(one, path, Path(scratch), url, args.sessions)
    sys.exit(0 if is_good else 1)


def row(one: Recording, path: Path, scratch: Path, url: str, num_sessions: int) -> bool:
    """One file's line of the table; whether all of it went well."""
    keys = {key: value.replace("DIR", str(path.parent)) for key, value in one.options.items()}
    options = [f"--from={one.format}", *(f"--set={key}={value}" for key, value in keys.items())]
    native = scratch / "native.jsonl"
    began_s = time.perf_counter()
    held = json.loads(benchsuite("describe", str(path), *options, "--json").stdout)
    took_s = time.perf_counter() - began_s
    done = benchsuite("convert", str(path), *options, "--out", str(native), "--skip-bad-rows")
    num_broken = done.stderr.partition("; ")[2].partition(" ")[0] or "0"
    is_same = held == json.loads(benchsuite("describe", str(native), "--json").stdout)
    source = conversion.source(one.format, str(path), keys)
    differs = first_difference(source, str(native))
    # A pool is drawn from: what it says stands in no row.
    lost = None if one.format == "servegen" else first_lost(source, str(native))
    num_ok = num_planned = 0
    if num_sessions:
        asked = replay(native, scratch, url, num_sessions)["requests"]
        num_ok, num_planned = asked["ok"], asked["planned"]
    print(
        f"| {one.name} | {num_broken} | {held['num_sessions']:,} | {held['num_requests']:,} "
        f"| {took_s:.1f} | {'DIFFER' if differs else 'equal'} "
        f"| {'drawn' if one.format == 'servegen' else 'LOST' if lost else 'all kept'} "
        f"| {'alike' if is_same else 'DIFFERS'} | {num_ok} of {num_planned} |",
        flush=True,
    )
    for problem in filter(None, (differs, lost)):
        print(f"{one.name}: {problem}", flush=True)
    is_replayed = num_ok == num_planned and (num_ok > 0) == (num_sessions > 0)
    return is_same and differs is None and lost is None and is_replayed


def replay(native: Path, scratch: Path, url: str, num_sessions: int) -> dict[str, Any]:
    """The result of a run over the first sessions."""
    scenario = {
        "name": "recordings",
        "endpoint": {"type": "openai_chat", "url": url, "model": "long"},
        "workload": {
            "type": "trace",
            "source": {"type": "jsonl", "path": str(first(native, scratch, num_sessions))},
            "time_scale": 0.001,
            "token_scale": 0.0625,
            "max_prompt_tokens": 1024,
            "max_output_tokens": 8,
            "output_tokens": 8,
            "max_turns": 2,
        },
        "arrivals": {"type": "closed_loop", "concurrency": 2},
    }
    path, out = scratch / "scenario.yaml", scratch / "run"
    path.write_text(json.dumps(scenario))  # JSON is YAML
    shutil.rmtree(out, ignore_errors=True)
    benchsuite("run", str(path), "--out", str(out), "--quiet")
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    return found


def first(native: Path, scratch: Path, num_sessions: int) -> Path:
    """The rows of the first sessions."""
    path, known = scratch / "first.jsonl", list[object]()
    with native.open() as rows, path.open("w") as kept:
        for number, line in enumerate(rows):
            session = json.loads(line).get("session_id", (number,))
            if session not in known:
                known.append(session)
            if len(known) > num_sessions:
                break
            kept.write(line)
    return path


def benchsuite(*words: str) -> subprocess.CompletedProcess[str]:
    """Exits with the command's own error where it fails; an invalid run has run."""
    done = subprocess.run(
        [sys.executable, "-m", "benchsuite", *words], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, INVALID):
        sys.exit(
            f"benchsuite {' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}"
        )
    return done


@contextmanager
def served(scratch: Path) -> Iterator[str]:
    """The address of a server of the bundled engine."""
    command = [sys.executable, "-m", "reference_engine", "--config", str(config(scratch))]
    with subprocess.Popen(
        [*command, "--exit-with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def config(scratch: Path) -> Path:
    """An engine with a model of random weights that reads long prompts."""
    tiny = PRESETS["tiny"]
    sizes = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": tiny.num_layers,
        "hidden_size": tiny.hidden_size,
        "num_attention_heads": tiny.num_heads,
        "num_key_value_heads": tiny.num_kv_heads,
        "intermediate_size": tiny.intermediate_size,
        "vocab_size": tiny.vocab_size,
        "max_position_embeddings": 65_536,
        "dtype": "float32",
    }
    folder = scratch / "long"
    folder.mkdir()
    torch.manual_seed(0)
    weights = {name: torch.randn(size) * 0.02 for name, size in tensor_sizes(tiny).items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes))
    path = scratch / "engine.json"
    path.write_text(json.dumps({"model": str(folder), "tokenizer": str(TOKENIZER)}))
    return path


if __name__ == "__main__":
    main()
