"""History through the stream's own code: the same alerts as live, and nothing of the future in them."""

import gzip
import json
import os
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from count_files import AGAIN, FIRST, START, write_counts, write_two_surges
from spike_streams import BUNDLE, ORDINARY, WEEK, at, observation, surge
from spike_streams import Feed as Stream

from stream.backtest.inputs import Feed
from stream.backtest.run import Backtest
from stream.backtest.scorer import Scorer
from stream.bundle import Bundle
from stream.cli import main
from stream.engine.engine import Engine
from stream.records import NewsEvent, Position, ScoredEvent
from stream.rules import QuietHours, Rule, Rules
from stream.score.compose import accept, compose
from stream.settings import Settings
from stream.spikes.settings import SpikeSettings
from stream.watchlist import Watchlist


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, ["backtest", *map(str, arguments)], env=environment)


def test_a_surge_in_counts_is_found_when_its_rows_show_it(tmp_path: Path) -> None:
    result = run("--counts", "--json", write_counts(tmp_path / "acme.csv", days=5, surge=4))
    assert result.exit_code == 0, result.output
    (alert,) = [json.loads(line) for line in result.output.splitlines()]
    fired = datetime.fromisoformat(alert["fired_at"])
    assert START + timedelta(days=4) <= fired <= START + timedelta(days=4, minutes=10)
    assert (fired - START) % timedelta(minutes=5) == timedelta(), "the time of a row"
    assert datetime.fromisoformat(alert["start"]) <= fired < datetime.fromisoformat(alert["end"])
    assert (alert["subject"], alert["severity"]) == ("acme", "red")
    assert alert["peak"] >= 300


def test_no_alert_knows_what_came_after_it(tmp_path: Path) -> None:
    whole = run("--counts", "--json", write_counts(tmp_path / "acme.csv", days=5, surge=4))
    fired = json.loads(whole.output)["fired_at"]
    (tmp_path / "cut").mkdir()
    # Two rows into the surge, and no further.
    cut = write_counts(tmp_path / "cut" / "acme.csv", days=5, surge=4, stop=4 + 3 / 288)
    assert json.loads(run("--counts", "--json", cut).output)["fired_at"] == fired


def counts_of(file: Path, *, every: timedelta, days: int, usual: int, surge: range = range(0)) -> Path:
    """So many negatives in each row, and five times as many in those of the surge."""
    lines = [
        f"{START + (row + 1) * every},{usual * (5 if row in surge else 1) + (-1) ** row}"
        for row in range(round(timedelta(days=days) / every))
    ]
    file.write_text("\n".join(["timestamp,value", *lines]) + "\n", encoding="utf-8")
    return file


def test_a_surge_in_rows_of_an_hour_is_one_alert(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    file = counts_of(tmp_path / "acme.csv", every=hour, days=30, usual=20, surge=range(600, 606))
    result = run("--counts", file, "--out", tmp_path)
    assert "720 rows (1 h apart: shorter windows are not tested)" in result.output
    (alert,) = json.loads((tmp_path / "alerts.json").read_text(encoding="utf-8"))
    assert datetime.fromisoformat(alert["fired_at"]) == START + 601 * hour
    # Of what is not negative nothing is known, and no share is told.
    assert "%" not in alert["reason"]


def test_rows_of_a_day_are_refused_since_no_window_is_so_long(tmp_path: Path) -> None:
    file = counts_of(tmp_path / "acme.csv", every=timedelta(days=1), days=40, usual=50)
    result = run("--counts", "--json", file)
    assert result.exit_code == 2
    assert (
        "the rows are 24 h apart, longer than the longest of `spikes.windows_seconds` (6 h)" in result.output
    )


def test_a_row_of_counts_with_more_fields_than_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "acme.csv"
    file.write_text("timestamp,value\n2026-01-01 00:00:00,1,234\n", encoding="utf-8")
    result = run("--counts", "--json", file)
    assert result.exit_code == 2
    assert f"{file}, line 2: other fields than the 2 columns" in result.output


def test_quiet_counts_alert_nothing(tmp_path: Path) -> None:
    result = run("--counts", "--json", write_counts(tmp_path / "acme.csv", days=5))
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("time,value\n2026-03-02,1\n", "must have the columns timestamp and value"),
        ("timestamp,value\n", "holds no row"),
        ("timestamp,value\nyesterday,1\n", "line 2: not a time and a number"),
        ("timestamp,value\n2026-03-02,-1\n", "line 2: -1 is no count"),
        ("timestamp,value\n2026-03-02,1.5\n", "line 2: 1.5 is no count"),
        ("timestamp,value\n2026-03-02,1\n2026-03-01,1\n", "line 3: its time lies before"),
        ("timestamp,value\n9999-12-31,1\n", "line 2: 9999-12-31 is no time of an event"),
    ],
)
def test_counts_that_cannot_be_read_are_named(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "acme.csv"
    file.write_text(content, encoding="utf-8")
    result = run("--counts", file)
    assert result.exit_code != 0
    assert reason in result.output
    assert "Traceback" not in result.output


def events() -> list[dict[str, object]]:
    """Four ordinary days of a company, and two hours of a scandal."""
    generator = random.Random(3)
    rows = []
    for number in range(4 * 24 * 6):
        text = generator.choice(
            ["a meeting", "good day", "chairman speaks", "bad day", "a report", "nothing new"]
        )
        rows.append((START + timedelta(minutes=10 * number), f"{text} {number}"))
    rows += [
        (START + timedelta(days=3, minutes=3 * number), f"fraud and lawsuit number {number * 7919}")
        for number in range(40)
    ]
    return [
        {"time": time.isoformat(), "text": text, "entities": [{"name": "Acme", "ticker": "ACME"}]}
        for time, text in sorted(rows)
    ]


def write_events(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_raw_news_is_scored_on_the_way_and_written_as_alerts_and_a_page(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    file = write_events(tmp_path / "news.jsonl", [*events(), {"text": ""}])
    result = run(file, "--out", tmp_path / "out", DOWNTICK_BUNDLE=str(tiny_bundle.folder))
    assert result.exit_code == 0, result.output
    assert "617 events, 1 of them refused" in result.output
    alerts = json.loads((tmp_path / "out" / "alerts.json").read_text(encoding="utf-8"))
    assert "entity:ACME" in {alert["subject"] for alert in alerts}
    assert all(alert["fired_at"] >= "2026-03-05T00" for alert in alerts)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "fraud and lawsuit" in page
    assert "http" not in page.replace("http-equiv", "")


def test_scored_events_alert_as_the_raw_ones_do(
    tiny_bundle: Bundle, tiny_engine: Engine, tmp_path: Path
) -> None:
    rows = events()
    raw = run(write_events(tmp_path / "raw.jsonl", rows), "--json", DOWNTICK_BUNDLE=str(tiny_bundle.folder))
    scored = []
    for number, row in enumerate(rows):
        event = NewsEvent.model_validate(row)
        assert event.time is not None
        position = Position(topic="news.raw", partition=0, offset=number)
        accepted = accept(event, event.text, position, event.time, Watchlist([]))
        (judgement,) = tiny_engine.judge([accepted.question])
        one, _ = compose(accepted, judgement, bundle="b" * 16, scored_at=event.time)
        scored.append(json.loads(one.to_bytes()))
    again = run(write_events(tmp_path / "scored.jsonl", scored), "--json", DOWNTICK_BUNDLE="/nowhere")
    assert again.exit_code == 0, again.output
    assert [json.loads(line) for line in again.output.splitlines()] == [
        json.loads(line) for line in raw.output.splitlines()
    ]
    assert raw.output


def test_scored_events_count_each_once_whatever_the_order_of_their_offsets(
    tiny_engine: Engine, tmp_path: Path
) -> None:
    rows = []
    for number in range(40):
        time = START + timedelta(minutes=number)
        event = NewsEvent(text=f"fine {number}", time=time)
        position = Position(topic="news.raw", partition=0, offset=40 - number)
        accepted = accept(event, event.text, position, time, Watchlist([]))
        (judgement,) = tiny_engine.judge([accepted.question])
        one, _ = compose(accepted, judgement, bundle="b" * 16, scored_at=time)
        rows.append(json.loads(one.to_bytes()))
    file = write_events(tmp_path / "scored.jsonl", [*rows, rows[7] | {"text": "fine, sent again"}])
    feed = Feed([file], Settings(), Scorer(Settings()), Watchlist([]))
    test = Backtest(SpikeSettings())
    for each in feed:
        test.take(each.time, each.pairs, each.bundle)
    test.finish()
    assert sum(row.neutral for row in test.windows if row.subject == "all") == 40
    assert feed.tally.refused == 1


def test_two_settings_stand_side_by_side(tmp_path: Path) -> None:
    other = tmp_path / "deaf.yaml"
    other.write_text("spikes: {minimum_negatives: 100000}\n", encoding="utf-8")
    file = write_counts(tmp_path / "acme.csv", days=5, surge=4)
    result = run("--counts", file, "--compare", other, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    ours, theirs = "default settings: alerts that fired: 1", f"{other}: alerts that fired: 0"
    lines = result.output.splitlines()
    place = lines.index(ours)
    assert " acme: " in lines[place + 1]
    assert lines[place + 2] == theirs


def test_each_alert_of_two_settings_says_which_of_them_it_is_of(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    for file in (first, second):
        file.write_text("{}", encoding="utf-8")
    counts = write_counts(tmp_path / "acme.csv", days=5, surge=4)
    result = run("--counts", "--json", counts, "--compare", second, DOWNTICK_CONFIG=str(first))
    assert result.exit_code == 0, result.output
    alerts = [json.loads(line) for line in result.output.splitlines()]
    assert [alert["settings"] for alert in alerts] == [str(first), str(second)]


def test_two_settings_may_have_bundles_of_their_own(tiny_bundle: Bundle, tmp_path: Path) -> None:
    file = write_events(tmp_path / "news.jsonl", events())
    other = tmp_path / "other.yaml"
    # What nothing can read: it must be asked for, and not the first one's in its place.
    other.write_text("bundle: nowhere", encoding="utf-8")
    environment = tmp_path / "first.yaml"
    environment.write_text(f"bundle: {tiny_bundle.folder}", encoding="utf-8")
    refused = run(file, "--json", "--config", environment, "--compare", other)
    assert refused.exit_code == 2
    assert f"no bundle at {tmp_path / 'nowhere'}" in refused.output
    other.write_text(f"bundle: {tiny_bundle.folder}\nscore: {{window_events: 8}}", encoding="utf-8")
    result = run(file, "--json", "--config", environment, "--compare", other)
    assert result.exit_code == 0, result.output
    alerts = [json.loads(line) for line in result.output.splitlines()]
    ours, theirs = (
        [alert["id"] for alert in alerts if alert["settings"] == str(name)] for name in (environment, other)
    )
    assert ours
    assert ours == theirs


def test_a_rule_for_a_topic_that_the_bundle_does_not_know_is_refused(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: desk, topics: [no_such_topic]}]", encoding="utf-8")
    file = write_events(tmp_path / "news.jsonl", events()[:1])
    result = run(file, "--json", DOWNTICK_BUNDLE=str(tiny_bundle.folder), DOWNTICK_RULES=str(rules))
    assert result.exit_code == 2
    assert "no text has the topic 'no_such_topic'" in result.output


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_compressed_file_that_is_damaged_is_named(tmp_path: Path, harm: str) -> None:
    packed = bytearray(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in events())))
    if harm == "cut":
        del packed[-100:]
    else:
        packed[200:260] = bytes(60)
    file = tmp_path / "news.jsonl.gz"
    file.write_bytes(packed)
    result = run(file, "--json")
    assert result.exit_code == 2
    assert f"cannot read {file}, its compression is damaged" in result.output


def test_a_folder_that_cannot_be_written_to_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no folder", encoding="utf-8")
    result = run("--counts", tmp_path / "absent.csv", "--out", tmp_path / "plain" / "out")
    assert result.exit_code == 2
    assert f"cannot write to {tmp_path / 'plain' / 'out'}: Not a directory" in result.output


@pytest.mark.parametrize("name", ["alerts.json", "report.html"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    result = run("--counts", write_counts(tmp_path / "acme.csv", days=1), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"cannot write {tmp_path / 'out' / name}: Is a directory" in result.output


def test_what_was_muted_is_told_when_its_quiet_hours_end_however_busy_the_stream_is() -> None:
    quiet = QuietHours.model_validate({"from": "22:00", "to": "07:00"})
    test = Backtest(SpikeSettings(), Rules([Rule(name="night", quiet_hours=quiet)]))
    stream = Stream()
    fraud = [*stream.between(0, WEEK + 6.75, **ORDINARY), *surge(stream, hours=0.2, start=WEEK + 6.75)]
    others = [
        observation(number, WEEK + 6.96 + number / 120, "neutral", topic="others") for number in range(240)
    ]
    for subject, events in (("entity:ACME", fraud), ("entity:OTHER", others)):
        for event in events:
            test.take(event.time, [(subject, event)], BUNDLE)
    test.finish()
    (alert,) = test.alerts
    assert alert.fired_at is not None
    assert at(WEEK + 6.75) < alert.fired_at < at(WEEK + 7) <= test.told_at(alert) < at(WEEK + 7.1)


def scored_event(number: int, time: datetime = START, **fields: object) -> dict[str, object]:
    """A record of `news.scored`."""
    event = ScoredEvent(
        id=str(number),
        position=Position(topic="news.raw", partition=0, offset=number),
        time=time,
        scored_at=START,
        text="a meeting",
        language="en",
        sentiment="neutral",
        sentiment_probabilities={"negative": 0.1, "neutral": 0.8, "positive": 0.1},
        confidence=0.8,
        topics=[],
        topic_probabilities={},
        entities=[],
        subjects=["all"],
        bundle="b" * 16,
    )
    return json.loads(event.to_bytes()) | fields


@pytest.mark.parametrize(("first", "again"), [(20, 1), (1, 20)])
def test_an_alert_that_was_reopened_is_told_with_each_of_its_surges(
    tmp_path: Path, first: int, again: int
) -> None:
    result = run("--counts", "--json", write_two_surges(tmp_path / "x.csv", first, again))
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert len({each["id"] for each in told}) == 1
    for each, begin, negatives in zip(told, (FIRST, AGAIN), (first, again), strict=True):
        start, fired, end = (datetime.fromisoformat(each[key]) for key in ("start", "fired_at", "end"))
        assert begin <= fired < begin + timedelta(minutes=30)
        assert start <= fired < end < begin + timedelta(hours=4)
        assert 10 * negatives <= each["peak"] <= 32 * negatives
    assert told[0]["end"] <= told[1]["start"]


def test_what_is_told_of_a_surge_stays_when_its_alert_is_reopened(tmp_path: Path) -> None:
    file = write_two_surges(tmp_path / "x.csv", 1, 20)
    whole = run("--counts", "--json", file).stdout.splitlines()
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-30]), encoding="utf-8")
    assert run("--counts", "--json", file).stdout.splitlines() == whole[:1]


def test_an_alert_that_was_reopened_counts_once(tmp_path: Path) -> None:
    result = run("--counts", write_two_surges(tmp_path / "x.csv", 20, 5), "--out", tmp_path / "out")
    assert "default settings: alerts that fired: 1, reopened: 1\n" in result.output
    assert result.output.count(" x: ") == 2


def test_a_surge_in_a_night_of_which_every_row_says_none_is_found(tmp_path: Path) -> None:
    night = START + timedelta(days=15, hours=2)
    moments = [START + timedelta(minutes=5 * row) for row in range(15 * 288 + 48)]
    rows = [(time, 8 if time == night else 2 if 8 <= time.hour < 20 else 0) for time in moments]
    file = tmp_path / "x.csv"
    file.write_text(
        "timestamp,value\n" + "".join(f"{time},{value}\n" for time, value in rows), encoding="utf-8"
    )
    alerts = [json.loads(line) for line in run("--counts", "--json", file).stdout.splitlines()]
    assert night in {datetime.fromisoformat(alert["fired_at"]) for alert in alerts}


def test_an_event_from_the_future_is_counted_where_the_stream_has_got_to(tmp_path: Path) -> None:
    rows = [scored_event(number, START.replace(year=year)) for number, year in enumerate((2014, 2099))]
    feed = Feed([write_events(tmp_path / "news.jsonl", rows)], Settings(), Scorer(Settings()), Watchlist([]))
    assert [each.time for each in feed] == [START.replace(year=2014)] * 2


def test_a_scored_event_is_from_the_future_if_it_was_when_it_was_scored(tmp_path: Path) -> None:
    """What it claims is past by now."""
    scored_at = START.replace(year=2020)
    rows = [
        scored_event(number, START.replace(year=year)) | {"scored_at": scored_at.isoformat()}
        for number, year in enumerate((2014, 2024, 2015))
    ]
    feed = Feed([write_events(tmp_path / "news.jsonl", rows)], Settings(), Scorer(Settings()), Watchlist([]))
    assert [each.time.year for each in feed] == [2014, 2014, 2015]


def test_a_scored_event_with_half_a_character_is_counted(tmp_path: Path) -> None:
    verdict = {"negative": 0.9, "neutral": 0.05, "positive": 0.05}
    row = scored_event(0, text="half a smile \ud83d", sentiment="negative", sentiment_probabilities=verdict)
    result = run(write_events(tmp_path / "news.jsonl", [row]), "--json", "--no-cache")
    assert (result.exit_code, result.output) == (0, "")


def test_where_all_events_are_refused_it_is_said_where_and_why(tmp_path: Path) -> None:
    file = tmp_path / "news.csv"
    file.write_text("date,text\n02.03.2026,a meeting\n03.03.2026,bad day\n", encoding="utf-8")
    reason = "events refused: 2 of 2, the first in news.csv: invalid: time: Input should be a valid datetime"
    for arguments in (
        ["backtest", "--json"],
        ["backtest", "--out", tmp_path],
        ["tune-alerts", "--per-week", 1],
    ):
        result = CliRunner().invoke(main, [*map(str, arguments), str(file)])
        assert (result.exit_code, result.stdout) == (2, "")
        assert reason in result.stderr


def test_where_some_events_are_refused_the_first_is_told_beside_the_alerts(tmp_path: Path) -> None:
    rows = [scored_event(1), scored_event(1), {"text": ""}]
    result = run(write_events(tmp_path / "news.jsonl", rows), "--json", "--no-cache")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "downtick: events refused: 2 of 3, the first in news.jsonl: "
        "the scored event news.raw/0/1 was there before\n"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"sentiment_probabilities": ' + "[" * 9_999 + "]" * 9_999 + "}", "not_json: "),
        (json.dumps(scored_event(1, sentiment_probabilities={"neutral": 1.0})), "must have `negative`"),
        (json.dumps(scored_event(1, sentiment_probabilities={"negative": 1.2})), "must have `negative`"),
    ],
)
def test_a_record_that_cannot_be_counted_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "news.jsonl"
    file.write_text(f"{json.dumps(scored_event(0))}\n{line}\n", encoding="utf-8")
    result = run(file, "--json", "--no-cache")
    assert result.exit_code == 0, result.output
    assert "events refused: 1 of 2" in result.stderr
    assert reason in result.stderr


def test_a_file_name_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    name = os.fsdecode("新闻".encode("gbk"))
    file = write_events(tmp_path / f"{name}.jsonl", [scored_event(0)])
    result = run(file, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Backtest of \\udcd0" in page
    counts = run("--counts", "--json", write_counts(tmp_path / f"{name}.csv", days=5, surge=4))
    assert counts.exit_code == 0, counts.output
    assert json.loads(counts.stdout)["subject"].startswith("\\udcd0")


@pytest.mark.parametrize(
    ("hours", "days", "said"),
    [
        (range(9, 17), range(7), "1 h apart: shorter windows are not tested"),
        (range(9, 17), range(5), "1 h apart: shorter windows are not tested"),
        (range(9, 10), range(5), "the rows are 24 h apart, longer than the longest"),
    ],
)
def test_rows_of_office_hours_and_weekdays_are_as_far_apart_as_others(
    tmp_path: Path, hours: range, days: range, said: str
) -> None:
    times = [START + timedelta(days=day, hours=hour) for day in range(28) for hour in hours]
    rows = [f"{time},{5 + time.hour % 3}" for time in times if time.weekday() in days]
    file = tmp_path / "acme.csv"
    file.write_text("\n".join(["timestamp,value", *rows]), encoding="utf-8")
    assert said in run("--counts", file, "--out", tmp_path).output


@pytest.mark.parametrize("field", ["published_on", "time"])
def test_a_history_whose_times_are_not_known_is_refused(
    tiny_bundle: Bundle, tmp_path: Path, field: str
) -> None:
    event = {"text": "bad", field: "2099-01-01T00:00:00Z"}
    file = tmp_path / "news.jsonl"
    file.write_text(f"{json.dumps(event)}\n" * 3, encoding="utf-8")
    result = run(file, "--no-cache", "--out", tmp_path, DOWNTICK_BUNDLE=str(tiny_bundle.folder))
    assert result.exit_code == 2
    assert "still to come: 3 of 3; name the field of their times time, timestamp" in result.output
    with file.open("a", encoding="utf-8") as lines:
        lines.write('{"text": "bad", "published_at": "2026-01-01T00:00:00Z"}\n')
    result = run(file, "--no-cache", "--out", tmp_path, DOWNTICK_BUNDLE=str(tiny_bundle.folder))
    assert result.exit_code == 0
    assert "still to come: 3 of 4; they are counted where the others have got to" in result.output
