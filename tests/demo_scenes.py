"""Records and scenes for the tests of what a demo shows."""

from datetime import UTC, datetime, timedelta

from demo.picture import Picture
from demo.progress import Progress
from demo.readings import Readings
from demo.scene import Scene
from demo.source import open_source
from stream.bundle import Bundle
from stream.records import Alert, AlertState, Evidence, Severity, Window
from stream.settings import Settings

START = datetime(2026, 3, 4, tzinfo=UTC)
BANK = "entity:699018.SH"
DAIRY = "entity:699127.SH"
TEXTS = (
    "三名婴儿住院，牧棠乳业的奶粉被下架，家长们要求公司给个说法，监管部门已经介入调查。",
    "Recall of all",
)
NAMES = {BANK: "Heyan Bank", DAIRY: "Mutang Dairy 牧棠乳业"}


def window(subject: str, hours: float, negative: int, *, neutral: int = 0, positive: int = 0) -> Window:
    """A quarter of an hour, so many hours after the start."""
    return Window(
        subject=subject,
        start=START + timedelta(hours=hours),
        seconds=900,
        negative=negative,
        neutral=neutral,
        positive=positive,
    )


def alert(
    subject: str,
    *,
    state: AlertState = AlertState.FIRING,
    severity: Severity = Severity.RED,
    revision: int = 1,
    fired: float | None = 10.0,
    resolved: float | None = None,
) -> Alert:
    """A revision of an alert that fired and was resolved so many hours after the start."""
    fired_at = None if fired is None else START + timedelta(hours=fired)
    resolved_at = None if resolved is None else START + timedelta(hours=resolved)
    return Alert(
        id=f"{subject} {fired}",
        revision=revision,
        subject=subject,
        state=state,
        severity=severity,
        started_at=(fired_at or START) - timedelta(minutes=20),
        updated_at=resolved_at or fired_at or START,
        fired_at=fired_at,
        resolved_at=resolved_at,
        window_seconds=3600,
        negative=31,
        total=36,
        expected_negative=2.5,
        expected_share=0.2,
        probability=1e-9,
        peak_negative=40,
        evidence=[
            Evidence(id=str(number), time=START, negative=0.9 + number / 100, excerpt=excerpt)
            for number, excerpt in enumerate(TEXTS)
        ],
        reason="31 negatives in 1 h where 2.5 were expected (12.4 ×); mostly product",
    )


def scene(bundle: Bundle) -> Scene:
    """A scene of the stream that ships, as before its replay."""
    source = open_source(None, None, None)
    return Scene(
        source=source,
        settings=Settings(),
        bundle=bundle,
        workers=2,
        progress=Progress(len(source.items)),
        picture=Picture(NAMES),
        readings=Readings(providers=("cpu",)),
        metrics=["http://127.0.0.1:9108/metrics"],
    )
