"""What a demo says at its end: what was processed, what was alerted, and where all of it was. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.text import Text

from demo.processes import export_lines
from demo.scene import Scene, moment, speed_text
from demo.stories.episodes import EPISODES, Episode
from stream.alerts import COLOURS
from stream.records import Alert, AlertState
from stream.settings import Settings

_LANGUAGES = {"zh": "Chinese", "en": "English", "other": "other languages"}


def summary(scene: Scene, *, keep: bool) -> Text:
    """The summary, to be printed without wrapping."""
    lines = [
        *_heading("What was processed"),
        *_processed(scene),
        *_heading("What was alerted"),
        *_alerted(scene),
    ]
    if scene.source.ships:
        lines += [*_heading("What happens in this stream"), *_episodes(scene)]
    lines += [*_heading("Where it was"), *_places(scene, keep=keep)]
    return Text("\n").join([Text(), *lines])


def _heading(text: str) -> Iterator[Text]:
    yield Text(text, style="bold")


def _processed(scene: Scene) -> Iterator[Text]:
    progress, readings = scene.progress, scene.readings
    rate = progress.processed / progress.seconds if progress.seconds else 0.0
    yield Text(
        f"  {progress.sent:,} events in {progress.seconds:.0f} s, {rate:.0f} a second, "
        f"by {scene.workers} worker{'s' if scene.workers > 1 else ''}; {progress.scored:,} scored, "
        f"{progress.dead_letters:,} dead letters"
    )
    if progress.waiting:
        yield Text(
            f"  {progress.waiting:,} events were not scored when the demo stopped waiting", style="red"
        )
    if readings.sentiments:
        counts = ", ".join(
            f"{readings.sentiments[name]:,} {name}" for name in ("negative", "neutral", "positive")
        )
        languages = ", ".join(
            f"{count:,} {_LANGUAGES.get(name, name)}" for name, count in readings.languages.most_common()
        )
        yield Text(f"  {counts}; {languages}")
    if readings.latency_seconds is not None:
        yield Text(f"  {readings.latency_seconds:.2f} s on average from the broker to a confirmed score")
    uncounted = progress.scored - progress.counted
    if uncounted > 0:
        yield Text(
            f"  {uncounted:,} scored events are in no window: sent twice, or too late for the stream's time"
        )
    span = scene.source.span
    if span is not None:
        yield Text(
            f"  event time {moment(span[0])} to {moment(span[1])} UTC, at {speed_text(scene.source.speed)}"
            f"{_real_speed(scene, span)}"
        )


def _real_speed(scene: Scene, span: tuple[datetime, datetime]) -> str:
    if not scene.progress.seconds:
        return ""
    real = (span[1] - span[0]).total_seconds() / scene.progress.seconds
    if real < 0.8 * scene.source.speed < float("inf"):
        return f" (held back to {speed_text(real)} on average, the workers being slower)"
    return ""


def _alerted(scene: Scene) -> Iterator[Text]:
    fired = sorted(scene.picture.fired, key=lambda alert: (alert.fired_at, alert.subject))
    if not fired:
        yield Text("  nothing: no subject had more negatives than its history explains")
    for alert in fired:
        yield from _alert(scene, alert)


def _alert(scene: Scene, alert: Alert) -> Iterator[Text]:
    assert alert.fired_at is not None  # only such alerts are listed
    line = Text("  ")
    line.append(f"{alert.severity.value:<6} ", style=COLOURS[alert.severity])
    line.append(scene.picture.title(alert.subject), style="bold")
    line.append(
        f"  fired {moment(alert.fired_at)}, "
        f"peak {alert.peak_negative} negatives in {duration(timedelta(seconds=alert.window_seconds))}, "
    )
    if alert.state is AlertState.RESOLVED and alert.resolved_at:
        line.append(
            f"resolved {moment(alert.resolved_at)}, after {duration(alert.resolved_at - alert.fired_at)}"
        )
    else:
        line.append("still on at the end")
    yield line
    yield Text(f"         {alert.reason}", style="dim")


def _episodes(scene: Scene) -> Iterator[Text]:
    fired = scene.picture.fired
    for episode in EPISODES:
        found = first_alert(episode, fired)
        right = (found is not None) == episode.must_alert
        line = Text("  ")
        line.append("✓ " if right else "✗ ", style="green" if right else "red")
        line.append(
            f"{episode.kind} at {scene.picture.title(episode.subject)}, {moment(utc(episode.start))}: "
        )
        if found is not None and found.fired_at is not None:
            line.append(f"alerted after {duration(found.fired_at - episode.start)}")
            line.append("" if right else ", and should not have")
        else:
            line.append("quiet, as it should be" if right else "missed")
        yield line
    subjects = {episode.subject for episode in EPISODES}
    others = [alert for alert in fired if alert.subject not in subjects]
    if others:
        more = "1 more alert" if len(others) == 1 else f"{len(others)} more alerts"
        yield Text(f"  {more}, on topics, on everything, or on other companies: see above")


def first_alert(episode: Episode, fired: Sequence[Alert]) -> Alert | None:
    """The first alert on the episode's company that fired while the episode lasted."""
    during = [
        alert
        for alert in fired
        if alert.subject == episode.subject and alert.fired_at and alert.fired_at in episode
    ]
    return min(during, key=lambda alert: alert.fired_at or alert.updated_at, default=None)


def _places(scene: Scene, *, keep: bool) -> Iterator[Text]:
    topics = scene.settings.topics
    yield Text(f"  scored events  {topics.scored} (dead letters: {topics.dead_letter})")
    yield Text(f"  the trend      {topics.windows}")
    yield Text(f"  alerts         {topics.alerts}")
    yield Text(f"  metrics        {', '.join(scene.metrics)}")
    yield Text(f"  model          {scene.model} ({scene.bundle.hash}), from {scene.bundle.folder}")
    if keep:
        yield from _how_to_go_on(scene.settings)
    else:
        yield Text("  The topics lived in memory and are gone; --keep leaves broker and workers running.")


def _how_to_go_on(settings: Settings) -> Iterator[Text]:
    yield Text("")
    yield Text("Broker and workers go on until Ctrl-C. In another terminal:", style="bold")
    for line in export_lines(settings):
        yield Text(f"  {line}")
    yield Text("  downtick alerts tail --from-start")
    yield Text("  downtick doctor")


def duration(length: timedelta) -> str:
    """A length of event time as people say it."""
    total = round(length.total_seconds() / 60)
    return f"{total} min" if abs(total) < 60 else f"{round(total / 60, 1):g} h"


def utc(time: datetime) -> datetime:
    """The time in UTC, as all of the demo writes it."""
    return time.astimezone(UTC)
