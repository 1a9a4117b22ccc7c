"""What a desk wants on top of the detector: which alerts are not to be told, and thresholds of its own.

    rules:
      - name: desk hours
        subjects: ["entity:*"]                # by name, * stands for anything; all without it
        topics: [credit-risk, fraud-accounting]
        minimum_severity: orange
        quiet_hours: {from: "22:00", to: "07:00", zone: Asia/Shanghai}
        mute_until: 2026-12-01T00:00:00Z
      - name: fraud, once it is much
        subjects: ["topic:fraud-accounting"]
        threshold: {negatives: 30, seconds: 3600}
      - name: Wall Street's clocks
        subjects: ["entity:*.N", "entity:*.O"]
        season_zone: America/New_York

A rule holds for the subjects that it names, and an alert must pass every rule that holds for it. One that does not
is published all the same, with `muted` saying why: nothing is lost, and what listens can tell. What a threshold
alone finds is a yellow alert, which must pass every rule too, that of the threshold included. Times are event
times. What was muted and still fires is told as soon as its rule no longer speaks against it; after a change of
the file, with its next revision.

Errors:
    RulesError  one message that names the file and every rule and key that is wrong
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from stream.labels import ALL, ENTITY_SUBJECT, TOPIC_SUBJECT
from stream.records import Alert, Moment, Severity
from stream.spikes.calendar import ZoneName
from stream.spikes.settings import SpikeSettings, Threshold
from stream.yaml_file import read_yaml

_LEADING_TOPICS = 3
"""An alert is about as many of its topics, the most frequent ones."""
_SEVERITIES = tuple(Severity)


class RulesError(Exception):
    """A rule file that cannot be used; the message names every wrong rule and key."""


def _in_quotes(value: Any) -> Any:
    # YAML takes 22:00 for a number in base 60: 1320.
    if isinstance(value, int | float):
        raise ValueError('write a time of day in quotes, like "22:00"')  # noqa: TRY004  # pydantic's way
    return value


def _of_no_zone(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("write a time of day without an offset; `zone` says where it is meant")
    return value


TimeOfDay = Annotated[time, BeforeValidator(_in_quotes), AfterValidator(_of_no_zone)]


class QuietHours(BaseModel):
    """A time of day in which nothing is told; it may go past midnight."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: Annotated[TimeOfDay, Field(alias="from")]
    end: Annotated[TimeOfDay, Field(alias="to")]
    zone: ZoneName = "UTC"

    @model_validator(mode="after")
    def _last_for_a_while(self) -> Self:
        if self.start == self.end:
            raise ValueError("`from` and `to` are the same; `mute_until` keeps a rule's alerts quiet all day")
        return self

    def cover(self, moment: datetime) -> bool:
        """Whether that moment lies in them."""
        clock = moment.astimezone(ZoneInfo(self.zone)).time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


class Rule(BaseModel):
    """One rule; what it does not say it does not ask for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    subjects: list[str] = Field(default_factory=lambda: ["*"])
    topics: list[str] = Field(default_factory=list)
    minimum_severity: Severity = Severity.YELLOW
    quiet_hours: QuietHours | None = None
    mute_until: Moment | None = None
    threshold: Threshold | None = None
    season_zone: ZoneName | None = None
    """By whose clocks the hours and weekends of its subjects are told apart, in place of `spikes.season_zone`."""

    def holds_for(self, subject: str) -> bool:
        """Whether the rule is about that subject."""
        return any(fnmatchcase(subject, pattern) for pattern in self.subjects)

    def objection(self, alert: Alert) -> str | None:
        """Why the alert is not to be told; None where nothing speaks against it."""
        if self.mute_until is not None and alert.updated_at < self.mute_until:
            return f"muted until {self.mute_until:%Y-%m-%d %H:%M} UTC"
        if _SEVERITIES.index(alert.severity) < _SEVERITIES.index(self.minimum_severity):
            return f"only {alert.severity.value}"
        if self.topics and not set(self.topics) & _topics(alert):
            return "none of its topics"
        if self.quiet_hours is not None and self.quiet_hours.cover(alert.updated_at):
            return "quiet hours"
        return None


def _topics(alert: Alert) -> set[str]:
    if alert.subject.startswith(TOPIC_SUBJECT):
        return {alert.subject.removeprefix(TOPIC_SUBJECT)}
    return set(list(alert.topics)[:_LEADING_TOPICS])


class Rules:
    """All rules of a file, in its order."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)

    def __len__(self) -> int:
        return len(self._rules)

    def judge(self, alert: Alert) -> Alert:
        """The alert, with `muted` set where a rule speaks against it."""
        for rule in self._rules:
            objection = rule.objection(alert) if rule.holds_for(alert.subject) else None
            if objection is not None:
                return alert.model_copy(update={"muted": f"{rule.name}: {objection}"})
        return alert

    def settings(self, subject: str, settings: SpikeSettings) -> SpikeSettings:
        """The settings for a subject: for each window the lowest threshold of the rules that hold for it.

        Its season goes by the zone of the first of them that has one. What none of them says the settings do.
        """
        holding = [rule for rule in self._rules if rule.holds_for(subject)]
        found = [rule.threshold for rule in holding if rule.threshold is not None]
        zones = [rule.season_zone for rule in holding if rule.season_zone is not None]
        changes: dict[str, Any] = {"season_zone": zones[0]} if zones else {}
        if found:
            lowest = {each.seconds: each for each in settings.threshold}
            lowest |= {each.seconds: each for each in sorted(found, key=lambda each: -each.negatives)}
            changes["threshold"] = tuple(lowest.values())
        return settings.model_copy(update=changes) if changes else settings


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rules: list[Rule]


def load_rules(file: Path, settings: SpikeSettings, topics: Collection[str] | None = None) -> Rules:
    """Read a rule file; raise `RulesError`.

    A threshold must be over a window that `settings` have, and a topic one of `topics`, where those are known.
    """
    content = read_yaml(file, RulesError, "the rule file")
    try:
        rules = _File.model_validate(content).rules
    except ValidationError as error:
        problems = [
            f"  {_place(problem['loc'], content)}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)
        ]
        raise RulesError(_unusable(file, problems)) from error
    windows = list(settings.windows_seconds)
    problems = [
        f"  rules.{rule.name!r}.threshold: seconds must be one of the windows {windows},"
        f" and is {rule.threshold.seconds}"
        for rule in rules
        if rule.threshold is not None and rule.threshold.seconds not in windows
    ]
    # A rule with a topic that no text has would mute every alert that it holds for.
    problems += [
        f"  rules.{rule.name!r}.topics: no text has the topic {topic!r}, "
        f"only: {', '.join(topics) or 'none with this bundle'}"
        for rule in rules
        for topic in rule.topics
        if topics is not None and topic not in topics
    ]
    # One for a subject that there cannot be would never hold.
    problems += [
        f"  rules.{rule.name!r}.subjects: no subject fits {pattern!r}: "
        f"write all, entity:TICKER or topic:NAME, with one of {', '.join(topics) or 'no topics'}"
        for rule in rules
        for pattern in rule.subjects
        if topics is not None and not _may_fit(pattern, topics)
    ]
    if problems:
        raise RulesError(_unusable(file, problems))
    return Rules(rules)


def _may_fit(pattern: str, topics: Collection[str]) -> bool:
    """Whether there may be a subject that the pattern fits; of companies nobody knows all."""
    if any(fnmatchcase(subject, pattern) for subject in (ALL, *(TOPIC_SUBJECT + topic for topic in topics))):
        return True
    if not topics and pattern.startswith(TOPIC_SUBJECT):
        return True  # rules for topics may go with a bundle that has none
    start = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return start.startswith(ENTITY_SUBJECT) or (start != pattern and ENTITY_SUBJECT.startswith(start))


def _unusable(file: Path, problems: Sequence[str]) -> str:
    return "\n".join([f"the rule file {file} cannot be used:", *problems])


def _place(location: tuple[int | str, ...], content: Any) -> str:
    """Where a problem is, a rule told by its name where it has one."""
    parts = [str(part) for part in location]
    if len(location) > 1 and isinstance(location[1], int):
        rule = content["rules"][location[1]]
        if isinstance(rule, dict) and "name" in rule:
            parts[1] = repr(rule["name"])
    return ".".join(parts) or "the file"
