"""What a selftest says: rows of text, lines on a terminal, one small HTML page without scripts."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as TerminalTable

from benchsuite.report import html
from benchsuite.report.quantities import milliseconds, number, percent
from benchsuite.results.curve import DELIVERED, WITHIN_S, Curve, RequestPoint, TokenPoint
from benchsuite.results.spread import Spread

BUSY_CORES: Final = 0.25  # used by others: from here on the curve is also theirs
WIDTH: Final = 640
HEIGHT: Final = 300
LEFT: Final = 84
BOTTOM: Final = 40
TOP: Final = 30
RIGHT: Final = 24
_TOKEN_HEAD: Final = (
    "streams", "asked/s", "came/s", "stamp", "program's", "CPU", "emitter", "good",
)  # fmt: skip
_REQUEST_HEAD: Final = ("asked/s", "sent/s", "late", "sent stamp", "CPU", "good")


class Table(NamedTuple):
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Line(NamedTuple):
    """One row of points of a chart, log-log."""

    name: str
    colour: str  # of style.css
    points: tuple[tuple[float, float], ...]


class Drawing(NamedTuple):
    title: str
    reading: str
    svg: Markup


def verdict(curve: Curve) -> str:
    """The largest load at which each number can be trusted."""
    shown = curve.trusted
    tokens = f"up to {shown.streams:,.0f} streams and {shown.tokens_per_s:,.0f} tokens/s"
    requests = f"up to {shown.requests_per_s:,.0f} requests/s"
    return (
        f"Token times can be trusted {tokens if shown.streams else _NOWHERE}, "
        f"sending on time {requests if shown.requests_per_s else _NOWHERE}, "
        "in each sending process."
    )


_NOWHERE: Final = "at none of these loads"


def criterion() -> str:
    """What `good` means."""
    return (
        f"Good: 99 % within {milliseconds(WITHIN_S)} of the truth and {percent(DELIVERED)} of what "
        "was asked delivered, here and at every smaller load."
    )


def notes(curve: Curve) -> tuple[str, ...]:
    """What a reader of the curve must know."""
    found = []
    points: tuple[TokenPoint | RequestPoint, ...] = (*curve.tokens, *curve.requests)
    others = max((point.others_cpu or 0.0 for point in points), default=0.0)
    if others > BUSY_CORES:
        found.append(
            f"Other programs kept up to {number(others)} cores busy meanwhile: "
            "the client can do better on a quiet machine."
        )
    full = [point for point in curve.tokens if point.asked_tokens_per_s is None]
    if full and not any(point.num_blocked for point in full):
        found.append("As fast as possible, the emitter was the limit: the client can do more.")
    if curve.is_quick:
        found.append("A quick sweep: fewer loads, shorter; a curve for runs needs the full one.")
    return tuple(found)


def tables(curve: Curve) -> tuple[Table, ...]:
    """The whole curve in numbers."""
    return (
        Table(
            "Tokens: stamp - true emission, p50 / p99 in us. Program's: what its own stamp "
            "would show. CPU: us a token. Emitter: its own lateness, p99.",
            _TOKEN_HEAD,
            tuple(_token_row(point) for point in curve.tokens),
        ),
        Table(
            "Requests: sent - due, p50 / p99 in us. Sent stamp: in the server's kernel - sent. "
            "CPU: us a request.",
            _REQUEST_HEAD,
            tuple(_request_row(point) for point in curve.requests),
        ),
    )


def _token_row(point: TokenPoint) -> tuple[str, ...]:
    asked = point.asked_tokens_per_s
    return (
        f"{point.streams:,}",
        "no pause" if asked is None else f"{asked:,.0f}",
        f"{point.tokens_per_s:,.0f}",
        _micro(point.stamp_error),
        _micro(point.user_error),
        number(point.cpu_per_token_s * 1e6),
        _micro(point.emitter_lateness).rpartition("/ ")[2],
        "" if asked is None else _mark(point.is_trusted),
    )


def _request_row(point: RequestPoint) -> tuple[str, ...]:
    return (
        number(point.asked_per_s),
        number(point.sent_per_s),
        _micro(point.send_delay),
        _micro(point.sent_error),
        number(point.cpu_per_request_s * 1e6),
        _mark(point.is_trusted),
    )


def _micro(spread: Spread) -> str:
    """p50 and p99 in microseconds."""
    if spread.p50 is None or spread.p99 is None:
        return "–"
    return f"{number(spread.p50 * 1e6)} / {number(spread.p99 * 1e6)}"


def _mark(is_good: bool) -> str:
    return "✓" if is_good else "✗"


def show(curve: Curve, console: Console) -> None:
    """The curve on a terminal."""
    for table in tables(curve):
        console.print(table.title, highlight=False, style="dim")
        shown = TerminalTable(box=SIMPLE_HEAD, pad_edge=False, padding=0)
        for name in table.head:
            shown.add_column(name, justify="right", no_wrap=True)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    for line in (verdict(curve), criterion(), *notes(curve)):
        console.print(line, highlight=False, soft_wrap=True)


def render(curve: Curve) -> str:
    """The page: one file, opens offline, runs nothing. The same curve gives the same page."""
    machine = curve.machine
    return html.page(
        "page.html.jinja",
        (),
        package="benchsuite.selftest",
        curve=curve,
        verdict=verdict(curve),
        look="valid" if curve.trusted.streams and curve.trusted.requests_per_s else "invalid",
        criterion=criterion(),
        notes=notes(curve),
        tables=tables(curve),
        figures=_drawings(curve),
        machine=(
            ("processor", machine.cpu_model),
            ("cores", f"{machine.cores}"),
            ("platform", machine.platform),
            ("Python", machine.python),
        ),
    )


def _drawings(curve: Curve) -> tuple[Drawing, ...]:
    paced = [point for point in curve.tokens if point.asked_tokens_per_s is not None]
    at = [float(point.streams) for point in paced]
    rates = [point.asked_per_s for point in curve.requests]
    return (
        Drawing(
            "How wrong is a token's time?",
            "Microseconds by which 99 % (and half) of the stamps are later than the true emission. "
            "What counts is the kernel's stamp; the program's own is what other clients take.",
            chart(
                "streams, 50 tokens/s each",
                "us",
                (
                    _line("stamp p99", "blue", at, [p.stamp_error.p99 for p in paced]),
                    _line("stamp p50", "green", at, [p.stamp_error.p50 for p in paced]),
                    _line("program's p99", "vermillion", at, [p.user_error.p99 for p in paced]),
                ),
            ),
        ),
        Drawing(
            "How late is a request sent?",
            "Microseconds from when it was due to when it left, opening a connection aside.",
            chart(
                "requests/s, Poisson",
                "us",
                (
                    _line("p99", "blue", rates, [p.send_delay.p99 for p in curve.requests]),
                    _line("p50", "green", rates, [p.send_delay.p50 for p in curve.requests]),
                ),
            ),
        ),
        Drawing(
            "What does a token cost?",
            "Microseconds of CPU time of the client's process per token.",
            chart(
                "streams, 50 tokens/s each",
                "us",
                (_line("CPU", "purple", at, [p.cpu_per_token_s for p in paced]),),
            ),
        ),
    )


def _line(name: str, colour: str, x: Sequence[float], y_s: Sequence[float | None]) -> Line:
    """Microseconds; what cannot stand on a logarithmic axis is left out."""
    pairs = zip(x, y_s, strict=True)
    return Line(name, colour, tuple((at, y * 1e6) for at, y in pairs if y is not None and y > 0))


def chart(x_title: str, y_unit: str, lines: Sequence[Line]) -> Markup:
    """A log-log line chart as inline SVG, in the colours of style.css."""
    points = [point for line in lines for point in line.points]
    if not points:
        return Markup("")
    x, y = (_Axis.over([point[i] for point in points]) for i in (0, 1))
    parts = [_grid(x, y, y_unit)]
    for order, line in enumerate(lines):
        places = [_place(point, x, y) for point in line.points]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        look = f'stroke="var(--{line.colour})"'
        parts.append(f'<polyline points="{path}" fill="none" {look} stroke-width="2"/>')
        parts += [
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3.5" fill="var(--{line.colour})"/>'
            for left, top in places
        ]
        parts.append(
            f'<text x="{LEFT + 120 * order}" y="16" fill="var(--{line.colour})">{line.name}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle" '
        f'fill="var(--muted)">{x_title}</text>'
    )
    # Every letter of it is ours: numbers, and the names above.
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{y_unit} by {x_title}" '
        f'font-size="13">{"".join(parts)}</svg>'
    )


class _Axis(NamedTuple):
    """Decades, as exponents of ten."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Axis":
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(low, max(high, low + 1))

    def share(self, value: float) -> float:
        return (math.log10(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        return [10.0**exponent for exponent in range(int(self.low), int(self.high) + 1)]


def _place(point: tuple[float, float], x: _Axis, y: _Axis) -> tuple[float, float]:
    left = LEFT + x.share(point[0]) * (WIDTH - LEFT - RIGHT)
    return left, HEIGHT - BOTTOM - y.share(point[1]) * (HEIGHT - BOTTOM - TOP)


def _grid(x: _Axis, y: _Axis, y_unit: str) -> str:
    parts = []
    for value in y.ticks():
        _, top = _place((10.0**x.low, value), x, y)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}" '
            f'stroke="var(--line)"/><text x="{LEFT - 8}" y="{top + 4:.1f}" text-anchor="end" '
            f'fill="var(--muted)">{number(value)} {y_unit}</text>'
        )
    for value in x.ticks():
        left, bottom = _place((value, 10.0**y.low), x, y)
        parts.append(
            f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{TOP}" y2="{bottom:.1f}" '
            f'stroke="var(--line)"/><text x="{left:.1f}" y="{bottom + 16:.1f}" '
            f'text-anchor="middle" fill="var(--muted)">{number(value)}</text>'
        )
    return "".join(parts)
