"""What is replayed, and how fast."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo.source import TARGET_SECONDS, default_speed, open_source
from stream.command import UsageError
from stream.replay import Item

START = datetime(2026, 3, 2, tzinfo=UTC)


def write(folder: Path, content: str, name: str = "mine.jsonl") -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def items(hours: list[float]) -> list[Item]:
    return [Item(b"{}", START + timedelta(hours=hour)) for hour in hours]


def test_the_stream_that_ships_comes_with_its_watch_list():
    source = open_source(None, None, None)
    assert source.ships
    assert len(source.items) > 4_000
    assert "Heyan Bank" in [company.name for company in source.watchlist.companies]
    assert 60 <= 4 * 86_400 / source.speed <= 120


def test_a_users_file_has_no_watch_list_unless_one_is_named(tmp_path: Path):
    file = write(tmp_path, '{"text": "a", "time": "2026-03-02"}\n')
    assert not open_source(file, None, None).watchlist.companies
    named = write(tmp_path, "entities:\n  - {name: Acme, ticker: ACME}\n", "mine.yaml")
    assert open_source(file, None, named).watchlist.companies[0].name == "Acme"
    assert not open_source(file, None, named).ships


def test_the_default_speed_makes_a_replay_last_about_the_target():
    speed = default_speed(items([hour / 10 for hour in range(1_000)]))
    assert 100 * 3600 / speed == pytest.approx(TARGET_SECONDS, rel=0.1)


def test_a_single_wrong_date_does_not_set_the_speed():
    right = [hour / 10 for hour in range(1_000)]
    assert default_speed(items([-400_000.0, *right])) == default_speed(items(right))


def test_events_without_usable_times_are_sent_at_full_speed(tmp_path: Path):
    file = write(tmp_path, '{"text": "a"}\n{"text": "b", "time": "next week"}\n')
    source = open_source(file, None, None)
    assert math.isinf(source.speed)
    assert source.span is None
    assert "without a usable time" in source.description


def test_a_file_of_a_few_seconds_is_not_slowed_down():
    assert default_speed(items([0, 1 / 3600, 10 / 3600])) == 1.0


def test_the_users_word_on_the_speed_counts(tmp_path: Path):
    file = write(tmp_path, '{"text": "a", "time": "2026-03-02"}\n')
    assert open_source(file, "600x", None).speed == 600
    assert math.isinf(open_source(file, "max", None).speed)


def test_the_description_says_when_and_how_fast(tmp_path: Path):
    lines = [json.dumps({"text": "a", "time": f"2026-03-0{day}T00:00:00Z"}) for day in (1, 2)]
    described = open_source(write(tmp_path, "\n".join(lines)), "864x", None).description
    assert described.splitlines() == [
        "mine.jsonl: 2 events",
        "from 2026-03-01 00:00 to 2026-03-02 00:00 UTC, at 864×: about 100 s, or what the workers need",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", "", "holds no events"),
        ("log.jsonl", "this is\nno JSON\n", "holds no event with a text"),
        ("array.json", '[{"text": "a"}]', "one JSON list"),
        ("other.jsonl", '{"id": 7}\n{"text": ""}\n', "holds no event with a text"),
        ("other.csv", "id,price\n1,2\n", "no column with the text"),
    ],
)
def test_a_file_that_is_no_stream_is_refused(tmp_path: Path, name: str, content: str, message: str):
    with pytest.raises(UsageError, match=message):
        open_source(write(tmp_path, content, name), None, None)


def test_a_watch_list_that_cannot_be_used_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot read the watch list"):
        open_source(None, None, tmp_path / "nowhere.yaml")
