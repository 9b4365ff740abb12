"""The command that CI calls: ci."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsuite.cli.base import (
    Overrides,
    command_line,
    new_console,
    one_of,
    pairs_of,
)
from benchsuite.errors import ScenarioError

if TYPE_CHECKING:
    from benchsuite.gate.gate import Mode

commands = typer.Typer()
_MODES: "dict[str, Mode]" = {
    "slo": "slo",
    "regression": "regression",
    "both": "both",
    "smoke": "smoke",
}


@commands.command()
def ci(
    scenarios: Annotated[
        list[Path], typer.Argument(metavar="SCENARIO...", help="Scenarios, YAML.")
    ],
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help="slo, regression, both or smoke. Default: by whether there is a baseline.",
        ),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Ten requests; all must end well.")
    ] = False,
    report_dir: Annotated[
        Path,
        typer.Option(
            "--report-dir", "--out", metavar="DIR", help="All files; may be taken up again."
        ),
    ] = Path("benchsuite-report"),
    overrides: Overrides = [],  # noqa: B006  typer reads it and never changes it
    baseline_set: Annotated[
        list[str],
        typer.Option("--baseline-set", metavar="KEY=VALUE", help="Of the baseline, over --set."),
    ] = [],  # noqa: B006
    target_url: Annotated[str | None, typer.Option("--target-url", help="Of the server.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Its name for the model.")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option("--api-key-env", metavar="NAME", help="Variable that holds the key."),
    ] = None,
    server_command: Annotated[
        str | None, typer.Option("--server-command", help="Starts the server, or: builtin.")
    ] = None,
    server_ready_url: Annotated[
        str | None, typer.Option("--server-ready-url", help="Answers once it is up.")
    ] = None,
    server_ready_timeout: Annotated[
        float, typer.Option("--server-ready-timeout", min=1, help="Seconds.")
    ] = 300.0,
    baseline: Annotated[
        str, typer.Option("--baseline", help="none, command (A/B in this job) or file:PATH.")
    ] = "none",
    baseline_server_command: Annotated[
        str | None, typer.Option("--baseline-server-command", help="Starts the server of before.")
    ] = None,
    baseline_ready_url: Annotated[
        str | None, typer.Option("--baseline-ready-url", help="Answers once that is up.")
    ] = None,
    save_baseline: Annotated[
        Path | None, typer.Option("--save-baseline", metavar="PATH", help="Keep this job's runs.")
    ] = None,
    fingerprint: Annotated[
        list[str],
        typer.Option("--fingerprint", metavar="KEY=VALUE", help="More of it: driver=570.1 ..."),
    ] = [],  # noqa: B006
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, help="Pairs. Default: 7; of mode slo 1.")
    ] = None,
    warmup_runs: Annotated[
        int, typer.Option("--warmup-runs", min=0, help="Of a server that stays up, not counted.")
    ] = 1,
    restart: Annotated[bool, typer.Option("--restart", help="A new server for each run.")] = False,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Stop early where the answer is clear.")
    ] = False,
    aa: Annotated[
        bool, typer.Option("--aa", help="Self-check: hold the server to itself.")
    ] = False,
    metric: Annotated[
        list[str], typer.Option("--metric", help="ttft_p50 ...; the family that is judged.")
    ] = [],  # noqa: B006
    min_effect: Annotated[
        list[str], typer.Option("--min-effect", help="5%, or ttft_p99=10%: smaller ones pass.")
    ] = [],  # noqa: B006
    limit: Annotated[
        list[str], typer.Option("--limit", metavar="METRIC=LIMIT", help="ttft_p99=500ms ...")
    ] = [],  # noqa: B006
    target: Annotated[
        float | None, typer.Option("--target", min=0, max=1, help="Attainment, if none is stated.")
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0.5, max=0.999)] = 0.95,
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="Of slo, regression, invalid, inconclusive; or never.")
    ] = "slo,regression,invalid",
) -> None:
    """Decide whether a change may go in: limits kept, nothing slower than before.

    Exit code 0: passed, or unsettled; 2: usage; 3: server not reachable; 4: runs that cannot be
    trusted; 5: our own fault; 98: a regression; 99: an SLO missed; 130: interrupted.
    """
    from benchsuite.gate.gate import Asked
    from benchsuite.gate.job import run_all
    from benchsuite.gate.outcome import causes
    from benchsuite.gate.quantities import min_effects

    has_baseline = bool(baseline_set or baseline_server_command or baseline != "none" or aa)
    usual = "smoke" if smoke else "regression" if has_baseline else "slo"
    chosen = one_of(_MODES, mode or usual, "--mode")
    _check(chosen, baseline, has_baseline)
    if baseline == "command" and not (baseline_set or baseline_server_command or aa):
        raise ScenarioError(
            "--baseline command needs what is different of before: --baseline-server-command, or "
            "--baseline-set (to hold a server to itself: --aa)"
        )
    stored = Path(baseline.removeprefix("file:")) if baseline.startswith("file:") else None
    if aa and (stored or baseline_set or baseline_server_command not in (None, server_command)):
        raise ScenarioError("--aa holds the server to itself: it takes no baseline")
    if sequential and (stored or not has_baseline):
        raise ScenarioError("--sequential needs two sides that are measured in this job")
    common: dict[str, Any] = {
        "mode": chosen,
        "baseline_settings": tuple(baseline_set),
        "command": None if server_command == "builtin" else server_command,
        "baseline_command": None
        if baseline_server_command == "builtin"
        else baseline_server_command or None,
        "ready_url": server_ready_url or None,
        "baseline_ready_url": baseline_ready_url or None,
        "ready_within_s": server_ready_timeout,
        "stored": stored,
        "save_baseline": save_baseline,
        "told": pairs_of(fingerprint, "--fingerprint"),
        "repeats": repeats or (1 if chosen == "slo" else 7),
        "warmup_runs": warmup_runs if chosen in ("regression", "both") else 0,
        "is_restarted": restart,
        "is_sequential": sequential,
        "is_self_check": aa,
        "metrics": tuple(metric),
        "min_effects": min_effects(min_effect),
        "limits": tuple(limit),
        "target": target,
        "confidence": confidence,
    }
    asked = [
        Asked(
            scenario=path,
            settings=(
                *_endpoint(path, target_url, model, api_key_env, server_command),
                *overrides,
            ),
            **common,
        )
        for path in scenarios
    ]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled job keeps what it has
    console = new_console(stderr=True)
    code = run_all(
        asked,
        report_dir,
        fail_on=causes(fail_on),
        command=command_line(),
        console=console,
        print_line=_print_line,
        environment=os.environ,
    )
    raise typer.Exit(code)


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _check(mode: str, baseline: str, has_baseline: bool) -> None:
    if baseline not in ("none", "command") and not baseline.startswith("file:"):
        raise ScenarioError(f"--baseline {baseline}: expected none, command or file:PATH")
    if mode in ("regression", "both") and not has_baseline:
        raise ScenarioError(
            f"--mode {mode} needs a baseline: --baseline-set, --baseline-server-command, "
            "--baseline file:PATH, or --aa"
        )
    if mode in ("slo", "smoke") and has_baseline:
        raise ScenarioError(f"--mode {mode} takes no baseline; say --mode regression or both")


def _endpoint(
    path: Path,
    url: str | None,
    model: str | None,
    api_key_env: str | None,
    command: str | None,
) -> tuple[str, ...]:
    """What the short options say of the endpoint, as overrides."""
    from benchsuite.endpoints.openai_server import OpenAIServer
    from benchsuite.scenario import load

    endpoint = load(path).endpoint
    if command == "builtin":
        is_builtin = hasattr(endpoint, "engine")
        return () if is_builtin else ("endpoint={type: reference_engine}",)
    found = []
    if url and not isinstance(endpoint, OpenAIServer):
        found.append(f"endpoint={json.dumps({'type': 'openai_chat', 'url': url})}")
    elif url:
        found.append(f"endpoint.url={json.dumps(url)}")
    if model:
        found.append(f"endpoint.model={json.dumps(model)}")
    is_remote = bool(url) or isinstance(endpoint, OpenAIServer)  # the bundled engine takes no key
    if is_remote and api_key_env and os.environ.get(api_key_env):
        found.append(f"endpoint.api_key={json.dumps('${env:' + api_key_env + '}')}")
    return tuple(found)
