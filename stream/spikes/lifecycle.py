"""The life of an alert: pending when a test is near its level, firing when it crosses, resolved when it is quiet.

    none ──near──▶ pending ──over──▶ firing ──quiet for long enough──▶ resolved ──over, soon──▶ firing (same alert)
                      └──────────────quiet for long enough──────────────▶ resolved

It speaks seldom: when the state changes, when the severity rises, when the peak has grown by half.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter

from stream.records import AlertState, Severity

# So many spans of earlier alerts are remembered, until what came in them is history: a day and an hour at most.
_PAST = 12
_LEARNED_AFTER = 30 * 3600
_GROWTH = 1.5
_SEVERITIES = tuple(Severity)
# How far beyond the level (as a share of the budget) and beyond expectation a surge is orange, and red. Of a
# hundred false alarms one is orange, of ten thousand one is red.
_ORANGE = (1e-2, 3.0)
_RED = (1e-4, 6.0)


@dataclass(frozen=True)
class Finding:
    """A window whose test is near its level or beyond it."""

    seconds: int
    """The window's length."""
    start: int
    """Unix time from which on it was counted: where the window begins, or where a surge in it had ended."""
    negative: int
    total: int
    expected: float
    expected_share: float
    probability: float
    excess: float
    """False alarms that a test at this count would give, as a share of what the budget allows: 1 is the level."""
    ratio: float
    """Negatives to what was expected, near-duplicates weighing less in both."""

    @property
    def over(self) -> bool:
        """Whether it is a surge, not only near one."""
        return self.excess <= 1

    @property
    def severity(self) -> Severity:
        """How far beyond its history the subject is."""
        for severity, (excess, ratio) in ((Severity.RED, _RED), (Severity.ORANGE, _ORANGE)):
            if self.excess <= excess and self.ratio >= ratio:
                return severity
        return Severity.YELLOW

    @property
    def rank(self) -> tuple[float, int]:
        """The smaller, the clearer the surge."""
        return self.excess, -self.negative


@dataclass
class Life:
    """An alert as it is remembered; times are Unix seconds."""

    started: int
    state: AlertState
    severity: Severity
    strongest: Finding
    """The finding that shows the surge most clearly."""
    hot: int
    """When a window was last near its level."""
    peaks: dict[int, int]
    """Most negatives in a window, by its length."""
    told_peaks: dict[int, int]
    revision: int = 0
    fired: int | None = None
    resolved: int | None = None
    told: bool = False
    """Whether people heard last that it fires, be it this alert or the one before: no rule muted that revision."""
    since: int = 0
    """When the surge before it ended, be it of this alert or of the one before."""

    @property
    def seen_from(self) -> int:
        """Where what shows the surge begins: a long window may show best what a short one found first."""
        return min(self.started, self.strongest.start)


class Lifecycle:
    """Turns findings into the revisions of one alert after another."""

    def __init__(self, subject: str, *, resolve_after_seconds: int, refractory_seconds: int) -> None:
        self._subject = subject
        self._resolve_after = resolve_after_seconds
        self._refractory = refractory_seconds
        self.life: Life | None = None
        self._past: list[int] = []
        """Start and end of each alert before it that fired, as long as history may yet learn of them."""

    @property
    def active(self) -> bool:
        """Whether there is an alert that is not over."""
        return self.life is not None and self.life.state is not AlertState.RESOLVED

    @property
    def firing(self) -> bool:
        """Whether there is an alert that fires."""
        return self.life is not None and self.life.state is AlertState.FIRING

    @property
    def id(self) -> str:
        """The alert's id: the same surge of the same subject has the same one, whoever finds it."""
        started = self.life.started if self.life else 0
        return hashlib.sha256(f"{self._subject}|{started}".encode()).hexdigest()[:16]

    @property
    def since(self) -> int:
        """When the last surge ended: what came earlier shows no new one."""
        life = self.life
        if life is None:
            return 0
        return life.since if life.fired is None or life.resolved is None else life.resolved

    def covers(self, start: int, end: int) -> bool:
        """Whether that span touches an alert that fired."""
        life = self.life
        spans = [*zip(self._past[::2], self._past[1::2], strict=True)]
        if life is not None and life.fired is not None:
            spans.append((life.started, end if life.resolved is None else life.resolved))
        return any(first < end and start < last for first, last in spans)

    def see(self, findings: list[Finding], now: int) -> bool:
        """Take what the windows show at a negative event; true when a revision is to be told."""
        if not findings:
            return False
        finding = min(findings, key=lambda each: each.rank)
        began = not self.active
        if began:
            if not self._in_refractory(now):
                self._put_by(now)
                self.life = self._begin(finding, self.life, self.since)
            elif not finding.over:
                # The surge's aftermath; should it come back in full, its alert goes on.
                return False
        life = self.life
        assert life is not None  # for the type checker: active, or begun above
        if life.state is AlertState.RESOLVED:
            self._reopen(life, finding)
        life.hot = now
        life.strongest = min(life.strongest, finding, key=lambda each: each.rank)
        for each in findings:
            life.peaks[each.seconds] = max(life.peaks.get(each.seconds, 0), each.negative)
        changed = self._fire(life, finding, now) if finding.over else began
        if changed:
            self._tell(life)
        return changed

    def _put_by(self, now: int) -> None:
        """Keep the span of the alert that another takes the place of."""
        life = self.life
        if life is not None and life.fired is not None and life.resolved is not None:
            self._past += [life.started, life.resolved]
        while self._past and (self._past[1] < now - _LEARNED_AFTER or len(self._past) > 2 * _PAST):
            del self._past[:2]

    def _in_refractory(self, now: int) -> bool:
        life = self.life
        return (
            life is not None
            and life.fired is not None
            and life.resolved is not None
            and now - life.resolved <= self._refractory
        )

    @staticmethod
    def _begin(finding: Finding, before: Life | None, since: int) -> Life:
        # Late events may find a surge where an earlier alert began that never fired: it has the same id.
        goes_on = before is not None and before.started == finding.start
        return Life(
            started=finding.start,
            state=AlertState.PENDING,
            severity=Severity.YELLOW,
            strongest=finding,
            hot=0,
            peaks={},
            told_peaks={},
            revision=before.revision if before is not None and goes_on else 0,
            told=before is not None and before.told,
            since=since,
        )

    @staticmethod
    def _reopen(life: Life, finding: Finding) -> None:
        """Let an alert go on with a surge that is judged by itself, however bad the one before was."""
        life.state, life.since, life.resolved = AlertState.PENDING, life.resolved or life.since, None
        life.severity, life.strongest = Severity.YELLOW, finding
        life.peaks, life.told_peaks = {}, {}

    def _fire(self, life: Life, finding: Finding, now: int) -> bool:
        changed = life.state is not AlertState.FIRING
        if changed:
            life.state = AlertState.FIRING
            life.fired = now if life.fired is None else life.fired
        if _SEVERITIES.index(finding.severity) > _SEVERITIES.index(life.severity):
            life.severity = finding.severity
            changed = True
        window = life.strongest.seconds
        return changed or life.peaks[window] >= _GROWTH * max(1, life.told_peaks.get(window, 0))

    def stay(self, now: int) -> None:
        """Some window is still near its level."""
        if self.life is not None:
            self.life.hot = now

    def pass_time(self, now: int) -> bool:
        """Resolve what has been quiet for long enough; true when a revision is to be told."""
        life = self.life
        if life is None or not self.active or now - life.hot < self._resolve_after:
            return False
        life.state = AlertState.RESOLVED
        # When it was due, not when a late look found it: after a gap of days a surge is a new one.
        life.resolved = life.hot + self._resolve_after
        self._tell(life)
        return True

    def tell_again(self) -> None:
        """Count a revision in which nothing has changed: who was not to hear of the alert now is."""
        if self.life is not None:
            self._tell(self.life)

    def _tell(self, life: Life) -> None:
        life.revision += 1
        life.told_peaks = dict(life.peaks)

    def dump_past(self) -> list[int]:
        """Starts and ends of the alerts before."""
        return self._past

    def load_past(self, past: list[int]) -> None:
        """Read what `dump_past` made."""
        self._past = list(past)

    def dump(self) -> list[Any]:
        """The alert as JSON values, in the order of its fields."""
        if self.life is None:
            return []
        return [*(vars(self.life) | {"strongest": [*vars(self.life.strongest).values()]}).values()]

    def load(self, parts: list[Any]) -> None:
        """Read what `dump` made."""
        if parts:
            # States of earlier versions lack the last fields.
            values = dict(zip(_LIFE_FIELDS, parts, strict=False))
            values["strongest"] = dict(zip(_FINDING_FIELDS, values["strongest"], strict=True))
            self.life = _LIFE.validate_python(values)
            if self.life.state is AlertState.RESOLVED:
                # In those of earlier versions that somebody was told outlives the end.
                self.life.told = False


_LIFE = TypeAdapter(Life)
_LIFE_FIELDS = [field.name for field in fields(Life)]
_FINDING_FIELDS = [field.name for field in fields(Finding)]
