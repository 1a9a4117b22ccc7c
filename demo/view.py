"""The demo on a terminal: a picture that fills the screen and changes as the stream goes by."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from demo.picture import Row
from demo.scene import Scene, moment, speed_text
from stream.alerts import COLOURS, describe_evidence
from stream.records import Alert, AlertState, Severity

_BARS = " ▁▂▃▄▅▆▇█"
_FULL_BAR = 4
"""A bar is full at no fewer negatives than this: one bad item on a quiet subject is no mountain."""
_HEADER_LINES = 5
_LEAST_ALERT_LINES = 8
_TABLE_FRAME = 3
_NAME_WIDTH = 22
_TEXTS = 2
"""Worst texts shown of an alert."""
_INDENT = " " * 10


class View:
    """A presenter that draws on the whole terminal and gives it back as it was."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._scene = scene
        self._console = console
        self._status: Status | None = None
        self._live: Live | None = None

    def step(self, text: str) -> None:
        """Show what is done now, and that it goes on."""
        self._end_status()
        self._console.print(Text(text), soft_wrap=True)
        self._status = self._console.status("")
        self._status.start()

    def begin(self) -> None:
        """Take the screen."""
        self._end_status()
        self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)
        self._live.start()
        self.refresh()

    def alert(self, alert: Alert) -> None:
        """It is in the picture with the next refresh."""

    def refresh(self) -> None:
        """Draw the picture for the terminal's present size."""
        if self._live is not None:
            width, height = self._console.size
            self._live.update(picture(self._scene, width, height), refresh=True)

    def close(self) -> None:
        """Give the screen back."""
        self._end_status()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def picture(scene: Scene, width: int, height: int) -> RenderableType:
    """The whole picture, for a terminal of so many columns and lines."""
    room = max(1, height - _HEADER_LINES - _LEAST_ALERT_LINES - _TABLE_FRAME)
    cells = max(12, min(96, width - _NAME_WIDTH - 48))
    rows = scene.picture.rows(room, cells)
    layout = Layout()
    layout.split_column(
        Layout(header(scene), size=_HEADER_LINES),
        Layout(subjects(rows), size=len(rows) + _TABLE_FRAME),
        Layout(alerts(scene, width, height - _HEADER_LINES - len(rows) - _TABLE_FRAME)),
    )
    return layout


def header(scene: Scene) -> RenderableType:
    """Where the stream is, and how the service bears it."""
    progress = scene.progress
    clock = Text(f"{progress.time:%a %d %b %H:%M} UTC" if progress.time else "—", style="bold")
    speed = f"   {speed_text(progress.speed)}" if progress.time else ""
    clock.append(speed, style="not bold")
    if progress.held_back:
        clock.append("  waiting for the workers", style="yellow not bold")
    top = Table.grid(expand=True, padding=(0, 1))
    top.add_column(no_wrap=True)
    top.add_column(ratio=1)
    top.add_column(justify="right", no_wrap=True)
    share = progress.sent / max(1, progress.total)
    top.add_row(clock, ProgressBar(total=max(1, progress.total), completed=progress.sent), f"{share:.0%}")
    counts = Text(no_wrap=True, overflow="ellipsis")
    counts.append(f"sent {progress.sent:,} ({progress.sent_rate:.0f}/s)   ")
    counts.append(f"scored {progress.scored:,} ({progress.scored_rate:.0f}/s)   ")
    counts.append(f"lag {progress.waiting + progress.uncounted:,}   ")
    counts.append(
        f"dead letters {progress.dead_letters:,}", style="yellow" if progress.dead_letters else "default"
    )
    negative = scene.readings.sentiments["negative"]
    counts.append(f"   negative {negative:,}")
    workers = f"{scene.workers} worker{'s' if scene.workers > 1 else ''}"
    model = Text(f"{workers}, {scene.model}   {scene.source.name}", no_wrap=True, overflow="ellipsis")
    return Panel(Group(top, counts, model), title="downtick demo", title_align="left", border_style="dim")


def subjects(rows: Sequence[Row]) -> RenderableType:
    """The subjects with their counts, trend and alert."""
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim", show_edge=False)
    table.add_column("subject", width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column("in 6 h", justify="right", no_wrap=True, width=6)
    table.add_column("negative", justify="right", no_wrap=True, width=8)
    table.add_column("share", justify="right", no_wrap=True, width=6)
    cells = len(rows[0].trend) if rows else 12
    table.add_column("last 24 h", no_wrap=True, width=max(cells, 12), overflow="crop")
    table.add_column("alert", no_wrap=True, ratio=1, overflow="ellipsis")
    for row in rows:
        table.add_row(
            Text(row.label, style="bold" if row.alert is not None and _is_on(row.alert) else ""),
            f"{row.total:,}" if row.total else "·",
            f"{row.negative:,}" if row.negative else "·",
            Text("" if row.share is None else f"{row.share:.0%}", style=_share_style(row.share)),
            spark_line(row.trend, row.severities),
            alert_state(row.alert),
        )
    return Panel(table, border_style="dim", padding=0)


def spark_line(trend: Sequence[int], severities: Sequence[Severity | None]) -> Text:
    """A bar for each count, coloured where an alert was on."""
    full = max(_FULL_BAR, *trend) if trend else _FULL_BAR
    line = Text(no_wrap=True)
    for place, count in enumerate(trend):
        severity = severities[place] if place < len(severities) else None
        # A count above nothing is always seen.
        height = max(1, round(count / full * 8)) if count else 0
        line.append(_BARS[height], style=COLOURS[severity] if severity else "cyan")
    return line


def alert_state(alert: Alert | None) -> Text:
    """What there is to say about a subject's alert in a few words."""
    if alert is None:
        return Text("")
    if alert.state is AlertState.FIRING:
        return Text(f"● {alert.severity.value} {_clock(alert)}", style=f"bold {COLOURS[alert.severity]}")
    if alert.state is AlertState.PENDING:
        return Text("○ rising", style="yellow")
    return Text(f"✓ over {alert.resolved_at or alert.updated_at:%H:%M}", style="green")


def alerts(scene: Scene, width: int, height: int) -> RenderableType:
    """The alerts that changed last, as many as there is room for, with their reasons and worst texts."""
    lines: list[Text] = []
    room = height - 2
    for alert in scene.picture.fired:
        own = alert_lines(scene, alert, width - 4)
        # One alert is shown in part rather than not at all.
        if lines and len(lines) + 2 > room:
            break
        lines += own
    shown = lines[: max(0, room)]
    if not shown:
        shown = [Text("none so far: an alert needs more negatives than a subject's own history", style="dim")]
    firing = sum(alert.state is AlertState.FIRING for alert in scene.picture.fired)
    title = f"alerts: {firing} firing, {len(scene.picture.fired) - firing} over"
    return Panel(
        Group(*shown), title=title, title_align="left", border_style="red" if firing else "dim", height=height
    )


def alert_lines(scene: Scene, alert: Alert, width: int) -> list[Text]:
    """An alert in lines of at most so many columns: what, why, and its worst texts while it fires."""
    on = _is_on(alert)
    colour = COLOURS[alert.severity] if on else "green"
    first = Text()
    first.append(f"{moment(alert.updated_at)} ", style="dim")
    first.append(f"{alert.state.value} {alert.severity.value} ", style=f"bold {colour}")
    first.append(scene.picture.title(alert.subject), style="bold")
    reason = Text(f"  {alert.reason}")
    if first.cell_len + reason.cell_len <= width:
        lines = [first + reason]
    else:
        lines = [first, Text(_INDENT) + reason] if on else [first]
    lines += [
        Text(_INDENT[2:]) + describe_evidence(evidence) for evidence in alert.evidence[: _TEXTS if on else 0]
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _is_on(alert: Alert) -> bool:
    return alert.state is AlertState.FIRING


def _clock(alert: Alert) -> str:
    return f"{alert.fired_at or alert.started_at:%H:%M}"


def _share_style(share: float | None) -> str:
    if share is None or share < 0.4:
        return ""
    return "red" if share >= 0.6 else "yellow"
