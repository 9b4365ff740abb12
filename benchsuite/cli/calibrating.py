"""The command that fits the roofline to the torch executor: calibrate."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsuite.cli.base import new_console
from benchsuite.errors import ScenarioError

if TYPE_CHECKING:
    from rich.table import Table

    from reference_engine.calibration import Replayed, Timed
    from reference_engine.executors import Roofline

commands = typer.Typer()


@commands.command()
def calibrate(
    model: Annotated[
        str, typer.Option("--preset", help="A preset with random weights, or a model folder.")
    ] = "tiny",
    device: Annotated[str, typer.Option("--device", help="Of torch: cpu, cuda, cuda:1.")] = "cpu",
    numbers: Annotated[
        str | None,
        typer.Option(
            "--numbers", metavar="NAME", help="Whose data sheet: cpu, h200, ... Default: by device."
        ),
    ] = None,
    max_sequences: Annotated[
        int, typer.Option("--max-sequences", min=2, help="Decodes in one step, at most, and one.")
    ] = 65,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the YAML here.")
    ] = None,
) -> None:
    """Fit the roofline executor to the torch executor on this machine, and print how far it is off.

    Times a grid of steps, fits, then runs a small workload on both, and prints the YAML of the fit.
    """
    from msgspec import ValidationError

    from reference_engine import calibration
    from reference_engine.config import EngineConfig
    from reference_engine.executors import Roofline, Torch
    from reference_engine.specs import ConfigError

    console = new_console()
    try:
        sheet = Roofline(device=numbers or _data_sheet(device))
        torch = EngineConfig(
            model=model, executor=Torch(device=device), max_sequences=max_sequences
        )
        timed = asyncio.run(calibration.measure(torch, calibration.grid(torch)))
        fitted = calibration.fit(timed, sheet)
        console.print(_steps(timed, fitted))
        simulated = EngineConfig(
            model=model,
            executor=fitted,
            max_sequences=max_sequences,
            num_blocks=torch.capacity().num_blocks,
        )
        asked = calibration.workload(torch, calibration.alone_s(simulated))
        measured = asyncio.run(calibration.replay(torch, asked))
        console.print(_replay(measured, calibration.replay_virtually(simulated, asked)))
    except (ConfigError, ValidationError, ValueError) as error:
        raise ScenarioError(f"calibrate: {error}") from error
    text = _yaml(fitted)
    console.print(text, highlight=False, soft_wrap=True)
    if out is not None:
        out.write_text(text, encoding="utf-8")


def _data_sheet(device: str) -> str:
    """The name in DEVICES of the board that torch calls `device`."""
    from reference_engine.executors.device_name import device_name
    from reference_engine.specs import DEVICES

    if not device.startswith("cuda"):
        return "cpu"
    board = device_name(device)
    for name in sorted(DEVICES, key=len, reverse=True):
        if name.replace("-", " ") in board.lower():
            return name
    raise ScenarioError(f"--numbers: no data sheet of {board!r}; one of {', '.join(DEVICES)}")


def _steps(timed: "list[Timed]", fitted: "Roofline") -> "Table":
    from rich.table import Table

    from reference_engine.calibration import predicted_s

    table = Table("prefill", "decodes", "context", "measured ms", "roofline ms", "error")
    for one in timed:
        predicted = predicted_s(one, fitted)
        table.add_row(
            *(str(number) for number in one.kind),
            f"{one.measured_s * 1e3:.3f}",
            f"{predicted * 1e3:.3f}",
            f"{predicted / one.measured_s - 1:+.1%}",
        )
    return table


def _replay(measured: "Replayed", simulated: "Replayed") -> "Table":
    from rich.table import Table

    table = Table("replay", "torch", "roofline", "error")
    for name, true, found in zip(measured._fields, measured, simulated, strict=True):
        table.add_row(name, f"{true:.5g}", f"{found:.5g}", f"{found / true - 1:+.1%}")
    return table


def _yaml(fitted: "Roofline") -> str:
    prefill_s = fitted.prefill_overhead_s
    prefill = "" if prefill_s is None else f"  prefill_overhead_s: {prefill_s:.9f}\n"
    return (
        "executor:\n"
        "  type: roofline\n"
        f"  device: {fitted.device}\n"
        f"  flops_efficiency: {fitted.flops_efficiency:.4f}\n"
        f"  bandwidth_efficiency: {fitted.bandwidth_efficiency:.4f}\n"
        f"  overhead_s: {fitted.overhead_s:.9f}\n"
        f"{prefill}"
        f"  overhead_per_sequence_s: {fitted.overhead_per_sequence_s:.9f}\n"
    )
