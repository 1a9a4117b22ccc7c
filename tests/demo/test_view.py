"""What a demo shows: on a terminal, as lines, and at its end."""

import io
from collections import Counter
from datetime import timedelta

import pytest
from demo_scenes import BANK, DAIRY, START, alert, scene, window
from rich.cells import cell_len
from rich.console import Console

from demo.lines import Lines, alert_line
from demo.readings import Readings, read_metrics
from demo.scene import Scene
from demo.stories.episodes import EPISODES, SCANDAL
from demo.summary import first_alert, summary
from demo.view import picture, spark_line
from stream.bundle import Bundle
from stream.records import AlertState, Severity


def drawn(scene_: Scene, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(picture(scene_, width, height), height=height)
    return console.export_text().splitlines()


@pytest.fixture
def busy(tiny_bundle: Bundle) -> Scene:
    """A scene in which much happens at once."""
    busy = scene(tiny_bundle)
    for quarter in range(96):
        for subject in ("all", BANK, DAIRY, "topic:product"):
            busy.picture.take_window(window(subject, quarter / 4, quarter % 3, neutral=2))
    busy.picture.take_alert(alert("all", fired=11, resolved=16, state=AlertState.RESOLVED))
    busy.picture.take_alert(alert(DAIRY))
    busy.progress.events_sent(3_500, 0)
    busy.progress.events_processed(3_450, 3, 10)
    busy.progress.events_counted(3_440, 10)
    busy.progress.time = START + timedelta(hours=23)
    return busy


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 45), (250, 80)])
def test_the_picture_fills_the_terminal_and_no_line_is_too_wide(busy: Scene, width: int, height: int):
    lines = drawn(busy, width, height)
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


def test_the_picture_says_where_the_stream_is(busy: Scene):
    text = "\n".join(drawn(busy, 120, 40))
    assert "Wed 04 Mar 23:00 UTC" in text
    assert "scored 3,450" in text
    assert "lag 57" in text  # 47 to score, 10 to count
    assert "dead letters 3" in text
    assert "tiny fp32 on cpu" in text


def test_an_alert_is_shown_with_its_reason_and_its_worst_texts(busy: Scene):
    text = "\n".join(drawn(busy, 100, 40))
    assert "firing red Mutang Dairy" in text
    assert "31 negatives in 1 h where 2.5 were expected" in text
    assert "三名婴儿住院" in text
    assert "1 firing, 1 over" in text
    assert "● red 10:00" in text
    assert "✓ over 16:00" in text


def test_before_the_first_event_there_is_a_picture_too(tiny_bundle: Bundle):
    assert len(drawn(scene(tiny_bundle), 100, 30)) == 30


def test_a_bar_is_as_high_as_its_share_of_the_highest():
    assert spark_line([0, 1, 4, 8], [None] * 4).plain == " ▁▄█"


def test_a_single_negative_on_a_quiet_subject_is_no_mountain():
    assert spark_line([0, 1, 0], [None] * 3).plain == " ▂ "


def test_bars_have_the_colour_of_the_alert():
    line = spark_line([1, 1], [None, Severity.RED])
    assert [str(span.style) for span in line.spans] == ["cyan", "red"]


def test_lines_tell_of_alerts_that_fire_but_not_of_those_that_came_near(busy: Scene):
    console = Console(record=True, file=io.StringIO(), width=80)
    lines = Lines(busy, console)
    lines.alert(alert(BANK, fired=None, state=AlertState.PENDING))
    lines.alert(alert(BANK, fired=10.5))
    printed = console.export_text().splitlines()
    assert len(printed) == 1
    assert printed[0].startswith(
        "03-04 10:30 UTC  ALERT firing   red    Heyan Bank (699018.SH): 31 negatives"
    )


def test_a_line_about_an_alert_says_when_it_is_over(busy: Scene):
    over = alert(BANK, resolved=12, state=AlertState.RESOLVED)
    assert alert_line(busy, over).plain.startswith("03-04 12:00 UTC  ALERT resolved red")


def test_the_summary_says_what_was_processed_and_alerted(busy: Scene):
    busy.readings = Readings(Counter(zh=1, en=2), Counter(negative=1, neutral=2))
    text = summary(busy, keep=False).plain
    assert "3,500 events in 10 s, 345 a second, by 2 workers; 3,450 scored, 3 dead letters" in text
    assert "47 events were not scored" in text
    assert "10 scored events are in no window" in text
    assert "fired 03-04 10:00, peak 40 negatives in 1 h, still on at the end" in text
    assert "fired 03-04 11:00, peak 40 negatives in 1 h, resolved 03-04 16:00, after 5 h" in text
    assert "sentiment.alerts" in text
    assert "http://127.0.0.1:9108/metrics" in text
    assert busy.bundle.hash in text
    assert "are gone" in text


def test_the_summary_of_a_kept_demo_says_how_to_reach_it(busy: Scene):
    text = summary(busy, keep=True).plain
    assert "export DOWNTICK_KAFKA__BROKERS=localhost:9092" in text
    assert "downtick alerts tail --from-start" in text
    assert "are gone" not in text


def test_the_summary_judges_the_episodes_of_the_stream_that_ships(busy: Scene):
    hours = (SCANDAL.start - START).total_seconds() / 3600
    busy.picture.alerts.clear()
    busy.picture.take_alert(alert(SCANDAL.subject, fired=hours + 0.3))
    text = summary(busy, keep=False).plain
    assert "✓ product safety at Mutang Dairy" in text
    assert "alerted after 18 min" in text
    assert text.count("quiet, as it should be") == 2
    assert text.count("missed") == 1


def test_an_alert_counts_for_an_episode_only_while_it_lasts():
    hours = (SCANDAL.start - START).total_seconds() / 3600
    before = alert(SCANDAL.subject, fired=hours - 1)
    first = alert(SCANDAL.subject, fired=hours + 1)
    second = alert(SCANDAL.subject, fired=hours + 2)
    other = next(each for each in EPISODES if each.ticker != SCANDAL.ticker)
    assert first_alert(SCANDAL, [second, before, first]) is first
    assert first_alert(SCANDAL, [before]) is None
    assert first_alert(other, [first]) is None


def test_the_readings_of_all_workers_are_added_up():
    page = (
        "# TYPE downtick_events_scored_total counter\n"
        'downtick_events_scored_total{language="zh",sentiment="negative"} 3\n'
        'downtick_events_scored_total{language="en",sentiment="neutral"} 4\n'
        'downtick_bundle_info{name="tiny",provider="cpu"} 1\n'
        "downtick_score_latency_seconds_sum 7\n"
        "downtick_score_latency_seconds_count 14\n"
    )
    readings = read_metrics([page, page])
    assert readings.languages == {"zh": 6, "en": 8}
    assert readings.sentiments == {"negative": 6, "neutral": 8}
    assert readings.providers == ("cpu",)
    assert readings.latency_seconds == 0.5
