"""A backtest as one page: per subject its counts, the expectation, the alerts and what they rest on.

The page is one file: pictures are SVG inside it, and it needs neither scripts nor the network.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from stream.records import Alert, Window

WIDTH, HEIGHT, LEFT, BOTTOM = 960, 180, 40, 18
BARS = 480
"""Most bars in a picture; where there are more intervals, neighbours are added up."""
SHOWN = 40
"""Most subjects with a picture, those with the most alerts first."""
COLOURS = {"yellow": "#e0a800", "orange": "#e8590c", "red": "#c92a2a"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2430; }
h1, h2 { line-height: 1.2; }
svg { max-width: 100%; height: auto; }
li { margin: .5rem 0; }
.note { color: #566070; }
.evidence { color: #566070; margin: .2rem 0 .2rem 1rem; overflow-wrap: anywhere; }
"""
LEGEND = """Bars are negatives, of one interval or, in a long history, of several neighbours together. The line is
what history expects in the same time, and goes on as it was where there were no events; the band around it is
twice its square root on either side. Shaded is the time of an alert."""


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of one setting."""

    name: str
    alerts: Sequence[Alert]
    windows: Sequence[Window]


def number_of(alerts: Sequence[Alert]) -> int:
    """How many alerts those are: one that was reopened is one, though each of its surges is there."""
    return len({alert.id for alert in alerts})


def page(title: str, summary: Sequence[str], runs: Sequence[Run]) -> str:
    """The page as HTML; with several runs each subject shows them one under the other."""
    counts = Counter(
        subject for run in runs for subject, _ in {(alert.subject, alert.id) for alert in run.alerts}
    )
    subjects = sorted(counts, key=lambda subject: (-counts[subject], subject))
    lines = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in summary),
        f'<p class="note">{LEGEND}</p>',
    ]
    if not subjects:
        lines.append("<p>No alert fired.</p>")
    for subject in subjects[:SHOWN]:
        lines.append(f"<h2>{escape(subject)}</h2>")
        for run in runs:
            alerts = [alert for alert in run.alerts if alert.subject == subject]
            if len(runs) > 1:
                lines.append(f"<h3>{escape(run.name)}: {number_of(alerts)} alerts</h3>")
            lines.append(picture([row for row in run.windows if row.subject == subject], alerts))
            lines += ["<ul>", *map(_item, alerts), "</ul>"]
    if len(subjects) > SHOWN:
        lines.append(
            f'<p class="note">{len(subjects) - SHOWN} more subjects have alerts; alerts.json has all alerts of '
            f"{escape(runs[0].name)}.</p>"
        )
    return "\n".join([*lines, "</body></html>", ""])


def picture(rows: Sequence[Window], alerts: Sequence[Alert]) -> str:
    """One subject's counts over time as SVG; empty without rows."""
    if not rows:
        return ""
    first, seconds = rows[0].start.timestamp(), rows[0].seconds
    intervals = int((rows[-1].start.timestamp() - first) / seconds) + 1
    group = max(1, math.ceil(intervals / BARS))
    bars = math.ceil(intervals / group)
    negatives = [0.0] * bars
    told: list[list[float]] = [[] for _ in range(bars)]
    for row in rows:
        place = int((row.start.timestamp() - first) / seconds) // group
        negatives[place] += row.negative
        if row.expected_negative is not None:
            told[place].append(row.expected_negative)
    lengths = [min(group, intervals - place * group) for place in range(bars)]
    expected = [each * length for each, length in zip(_filled(told), lengths, strict=False)]
    upper = [value + 2 * math.sqrt(value) for value in expected]
    lower = [max(0.0, value - 2 * math.sqrt(value)) for value in expected]
    top = max(1.0, *negatives, *upper)
    inner = WIDTH - LEFT
    width = inner / bars

    def across(moment: datetime) -> float:
        return LEFT + (moment.timestamp() - first) / (bars * group * seconds) * inner

    def up(value: float) -> float:
        return (HEIGHT - BOTTOM) * (1 - value / top)

    def path(values: Sequence[float]) -> str:
        return " ".join(
            f"{LEFT + (place + 0.5) * width:.1f},{up(value):.1f}" for place, value in enumerate(values)
        )

    shapes = []
    for alert in alerts:
        start, end = across(alert.started_at), across(alert.resolved_at or alert.updated_at)
        shapes.append(
            f'<rect x="{start:.1f}" y="0" width="{max(end - start, 1.5):.1f}" height="{HEIGHT - BOTTOM}" '
            f'fill="{COLOURS[alert.severity.value]}" opacity="0.25"/>'
        )
    shapes += [
        f'<rect x="{LEFT + place * width:.1f}" y="{up(value):.1f}" width="{max(width * 0.9, 0.6):.1f}" '
        f'height="{HEIGHT - BOTTOM - up(value):.1f}" fill="#8a94a6"/>'
        for place, value in enumerate(negatives)
        if value
    ]
    band = f"{path(upper)} {' '.join(reversed(path(lower).split(' ')))}"
    shapes += [
        f'<polygon points="{band}" fill="#1c7ed6" opacity="0.18"/>',
        f'<polyline points="{path(expected)}" fill="none" stroke="#1c7ed6" stroke-width="1.2"/>',
        f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH}" y2="{HEIGHT - BOTTOM}" stroke="#566070"/>',
        _text(2, 12, f"{top:,.0f}"),
        _text(LEFT, HEIGHT - 4, f"{rows[0].start:%Y-%m-%d %H:%M}"),
        _text(WIDTH - 110, HEIGHT - 4, f"{rows[-1].start:%Y-%m-%d %H:%M}"),
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="negatives over time">{"".join(shapes)}</svg>'
    )


def _filled(told: Sequence[Sequence[float]]) -> list[float]:
    """What history expects in an interval of each bar, from its rows that tell it; empty where none does.

    Intervals without events have no row: where a bar has none, what was expected before still holds.
    """
    known = next((rows for rows in told if rows), None)
    if known is None:
        return []
    filled: list[float] = []
    for rows in told:
        known = rows or known
        filled.append(sum(known) / len(known))
    return filled


def _text(x: float, y: float, content: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="11" fill="#566070">{escape(content)}</text>'


def _item(alert: Alert) -> str:
    evidence = "".join(
        f'<div class="evidence">{item.time:%m-%d %H:%M} · {item.negative:.2f} · {escape(item.excerpt or "")}</div>'
        for item in alert.evidence
    )
    fired = alert.fired_at or alert.started_at
    return f"<li><b>{alert.severity.value}</b> {fired:%Y-%m-%d %H:%M}: {escape(alert.reason)}{evidence}</li>"
