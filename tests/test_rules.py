"""What a desk wants on top: rules mute alerts, and say so; a threshold of its own alerts whatever the history."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from spike_streams import SETTINGS, at, fired, observation, watch

from stream.records import Alert, AlertState, Observations, Severity
from stream.rules import Rules, RulesError, load_rules
from stream.spikes.settings import SpikeSettings, Threshold
from stream.spikes.subject import Subject
from stream.watch.keeper import Partition

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def alert(subject: str = "entity:ACME", when: datetime = NOON, **fields: object) -> Alert:
    values = {
        "id": "a1",
        "revision": 1,
        "subject": subject,
        "state": AlertState.FIRING,
        "severity": Severity.YELLOW,
        "started_at": when,
        "updated_at": when,
        "fired_at": when,
        "window_seconds": 600,
        "negative": 12,
        "total": 20,
        "expected_negative": 1.0,
        "expected_share": 0.2,
        "probability": 1e-9,
        "peak_negative": 12,
        "topics": {"earnings": 8, "people": 3, "product": 2, "credit-risk": 1},
        "reason": "12 negatives",
        **fields,
    }
    return Alert.model_validate(values)


def rules(tmp_path: Path, text: str) -> Rules:
    file = tmp_path / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    return load_rules(file, SETTINGS)


def muted(tmp_path: Path, rule: str, **fields: object) -> str | None:
    return rules(tmp_path, f"rules: [{{name: desk, {rule}}}]").judge(alert(**fields)).muted


def test_without_rules_every_alert_is_told() -> None:
    assert Rules().judge(alert()) == alert()


def test_a_rule_holds_for_the_subjects_that_it_names(tmp_path: Path) -> None:
    rule = "subjects: ['entity:*'], minimum_severity: red"
    assert muted(tmp_path, rule) == "desk: only yellow"
    assert muted(tmp_path, rule, subject="all") is None


def test_an_alert_below_the_severity_is_muted_and_told_once_it_rises(tmp_path: Path) -> None:
    assert muted(tmp_path, "minimum_severity: orange") == "desk: only yellow"
    assert muted(tmp_path, "minimum_severity: orange", severity=Severity.ORANGE) is None
    assert muted(tmp_path, "minimum_severity: orange", severity=Severity.RED) is None


def test_an_alert_is_told_for_its_leading_topics_only(tmp_path: Path) -> None:
    assert muted(tmp_path, "topics: [people, policy]") is None
    assert muted(tmp_path, "topics: [credit-risk]") == "desk: none of its topics"
    assert muted(tmp_path, "topics: [credit-risk]", subject="topic:credit-risk", topics={}) is None


@pytest.mark.parametrize(("hour", "quiet"), [(13, False), (14, True), (20, True), (22, True), (23, False)])
def test_quiet_hours_are_those_of_their_zone_and_may_pass_midnight(
    tmp_path: Path, hour: int, *, quiet: bool
) -> None:
    rule = 'quiet_hours: {from: "22:00", to: "07:00", zone: Asia/Shanghai}'
    found = muted(tmp_path, rule, when=NOON.replace(hour=hour))
    assert found == ("desk: quiet hours" if quiet else None)


def test_a_subject_can_be_muted_until_a_time(tmp_path: Path) -> None:
    rule = "mute_until: 2026-03-02T12:30:00Z"
    assert muted(tmp_path, rule) == "desk: muted until 2026-03-02 12:30 UTC"
    assert muted(tmp_path, rule, when=NOON + timedelta(hours=1)) is None


def test_a_muted_alert_is_published_and_is_none_of_those_that_fire(tmp_path: Path) -> None:
    until = rules(tmp_path, "rules: [{name: desk, subjects: ['entity:X'], mute_until: 2030-01-01}]")
    partition = Partition({}, SETTINGS, until)
    published = []
    for subject in ("entity:X", "entity:Y"):
        usual = [observation(number, number / 2, "neutral") for number in range(96)]
        surge = [observation(1000 + number, 48 + number / 100) for number in range(40)]
        for one in [*usual, *surge]:
            change = partition.apply(Observations(subject=subject, bundle="b", observations=[one]))
            published += [told for told in change.alerts if told.state is AlertState.FIRING]
    assert {(told.subject, told.muted is not None) for told in published} == {
        ("entity:X", True),
        ("entity:Y", False),
    }
    assert [one.subject for one in partition.firing()] == ["entity:Y"]


def test_a_threshold_alerts_whatever_the_history() -> None:
    settings = SpikeSettings(threshold=(Threshold(negatives=3, seconds=3600),))
    subject = Subject("x", settings)
    alerts = watch(subject, [observation(number, 0.1 * number) for number in range(3)])
    assert [one.state for one in alerts] == [AlertState.FIRING]
    assert fired(alerts)[0].negative == 3
    subject.advance(at(4))
    assert subject.take_alerts()[-1].state is AlertState.RESOLVED


def test_what_only_a_threshold_finds_is_yellow_and_passes_no_rule_that_asks_for_more(tmp_path: Path) -> None:
    text = "rules: [{name: desk, minimum_severity: orange, threshold: {negatives: 3, seconds: 600}}]"
    partition = Partition({}, SETTINGS, rules(tmp_path, text))
    events = [observation(number, number / 100) for number in range(3)]
    [told] = partition.apply(Observations(subject="all", bundle="b", observations=events)).alerts
    assert (told.state, told.muted) == (AlertState.FIRING, "desk: only yellow")


def test_a_rules_threshold_is_that_of_its_subjects(tmp_path: Path) -> None:
    own = rules(tmp_path, "rules: [{name: desk, subjects: [all], threshold: {negatives: 9, seconds: 600}}]")
    assert own.settings("all", SETTINGS).threshold == (Threshold(negatives=9, seconds=600),)
    assert own.settings("entity:X", SETTINGS) is SETTINGS


def test_of_several_thresholds_the_lowest_of_each_window_holds(tmp_path: Path) -> None:
    own = rules(
        tmp_path,
        """rules:
          - {name: slow, threshold: {negatives: 100, seconds: 21600}}
          - {name: fast, threshold: {negatives: 120, seconds: 600}}
          - {name: faster, threshold: {negatives: 80, seconds: 600}}""",
    )
    general = SpikeSettings(
        threshold=(Threshold(negatives=5, seconds=600), Threshold(negatives=9, seconds=3600))
    )
    found = own.settings("all", general).threshold
    assert {(each.seconds, each.negatives) for each in found} == {(600, 80), (3600, 9), (21600, 100)}


def test_an_alert_without_any_history_does_not_claim_to_know_what_is_usual() -> None:
    settings = SpikeSettings(threshold=(Threshold(negatives=3, seconds=600),))
    [alert] = fired(watch(Subject("x", settings), [observation(number, number / 100) for number in range(3)]))
    assert (alert.expected_negative, alert.severity) == (0, Severity.YELLOW)
    assert alert.reason.startswith("3 negatives in 10 min, and no history yet that says how many are usual")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{name: desk, colour: red}]", "rules.'desk'.colour: Extra inputs are not permitted"),
        ("rules: [{name: desk, minimum_severity: purple}]", "rules.'desk'.minimum_severity"),
        ('rules: [{name: d, quiet_hours: {from: "22:00", to: "7", zone: Mars/Base}}]', "is no time zone"),
        (
            'rules: [{name: d, quiet_hours: {from: 22:00, to: "07:00"}}]',
            """rules.'d'.quiet_hours.from: write a time of day in quotes, like "22:00\"""",
        ),
        (
            'rules: [{name: d, quiet_hours: {from: "22:00+08:00", to: "07:00"}}]',
            "write a time of day without an offset; `zone` says where it is meant",
        ),
        (
            "rules: [{name: d, threshold: {negatives: 3, seconds: 61}}]",
            "rules.'d'.threshold: seconds must be one of the windows [600, 3600, 21600], and is 61",
        ),
        ('rules: [{name: d, quiet_hours: {from: "22:00", to: "07:00", zone: America}}]', "is no time zone"),
        ('rules: [{name: d, quiet_hours: {from: "07:00", to: "07:00"}}]', "are the same"),
        ("rules: [{name: d, season_zone: Wall Street}]", "'Wall Street' is no time zone"),
        ("rules: [{}]", "name: Field required"),
        ("- 1", "the file"),
        ("rules: [{name: a}]\nrules: [{name: b}]", "the key 'rules' stands here a second time"),
        ("rules: [{name: a, name: b}]", "the key 'name' stands here a second time"),
        (":", "is not YAML"),
        ("rules: [{name: d, mute_until: 2026-02-30T00:00:00Z}]", "is not YAML: day is out of range"),
    ],
)
def test_a_rule_file_that_cannot_be_used_names_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules(tmp_path, text)
    assert said in str(caught.value)
    assert "rules.yaml" in str(caught.value)


def test_a_topic_that_no_text_can_have_is_named_where_the_topics_are_known(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{name: desk, topics: [earnings, credit_risk]}]", encoding="utf-8")
    assert len(load_rules(file, SETTINGS)) == 1
    with pytest.raises(RulesError) as caught:
        load_rules(file, SETTINGS, ["earnings", "credit-risk"])
    assert "rules.'desk'.topics: no text has the topic 'credit_risk'" in str(caught.value)
    assert "only: earnings, credit-risk" in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("*", True),
        ("all", True),
        ("entity:*.N", True),
        ("entity:600519.SH", True),
        ("e*", True),
        ("topic:*", True),
        ("topic:earn*", True),
        ("topic:frauds", False),
        ("entities:*", False),
        ("entity", False),
        ("All", False),
    ],
)
def test_a_rule_for_subjects_that_there_cannot_be_is_refused(
    tmp_path: Path, pattern: str, *, fits: bool
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(f"rules: [{{name: desk, subjects: ['{pattern}']}}]", encoding="utf-8")
    assert len(load_rules(file, SETTINGS)) == 1
    if fits:
        assert len(load_rules(file, SETTINGS, ["earnings"])) == 1
        return
    with pytest.raises(RulesError, match=r"rules\.'desk'\.subjects: no subject fits") as caught:
        load_rules(file, SETTINGS, ["earnings"])
    assert "topic:NAME, with one of earnings" in str(caught.value)


def test_rules_for_topics_may_go_with_a_bundle_that_has_none(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{name: desk, subjects: ['topic:*', 'topic:earnings']}]", encoding="utf-8")
    assert len(load_rules(file, SETTINGS, [])) == 1


def test_a_key_that_is_merged_and_then_given_anew_stands_once(tmp_path: Path) -> None:
    text = "rules:\n- &a {name: a, topics: [x]}\n- &b {<<: *a, name: b}\n- {<<: *b, topics: [y]}\n"
    assert len(rules(tmp_path, text)) == 3


def test_a_rule_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot read the rule file"):
        load_rules(tmp_path / "none.yaml", SETTINGS)


def test_the_hours_of_a_subject_are_those_of_the_first_rule_that_names_a_zone_for_it(tmp_path: Path) -> None:
    found_rules = rules(
        tmp_path,
        """
rules:
  - {name: all, threshold: {negatives: 30, seconds: 3600}}
  - {name: york, subjects: ["entity:*.N"], season_zone: America/New_York}
  - {name: china, subjects: ["entity:*"], season_zone: Asia/Shanghai}
""",
    )
    subjects = ("entity:IBM.N", "entity:600519.SH", "all")
    found = [found_rules.settings(subject, SpikeSettings()) for subject in subjects]
    assert [each.season_zone for each in found] == ["America/New_York", "Asia/Shanghai", "UTC"]
    assert all(each.threshold for each in found)
