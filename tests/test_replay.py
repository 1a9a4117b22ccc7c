"""A file of events, read and paced."""

import gzip
import json
import time
from pathlib import Path

import pytest

from stream.command import UsageError
from stream.replay import Item, paced, parse_speed, read_items


def written(tmp_path: Path, name: str, text: str) -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def values(items: list[Item]) -> list[object]:
    return [json.loads(item.value) for item in items]


def test_events_are_ordered_by_time_and_one_without_stays_behind_its_neighbour(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "a.jsonl",
        '{"time": "2020-01-02", "text": "b"}\n{"text": "after b"}\n\n{"time": "2020-01-01", "text": "a"}\n',
    )
    assert [value["text"] for value in values(read_items(file))] == ["a", "b", "after b"]


def test_rows_that_differ_in_the_ticker_alone_are_one_event(tmp_path: Path) -> None:
    rows = [
        {"time": 1, "text": "up", "ticker": "A"},
        {"time": 1, "text": "down", "ticker": "A"},
        {"time": 1, "text": "up", "ticker": "B"},
        {"time": 2, "text": "up", "ticker": "C"},
    ]
    file = written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    tickers = [[entity["ticker"] for entity in value["entities"]] for value in values(read_items(file))]
    assert tickers == [["A", "B"], ["A"], ["C"]]


def test_two_equal_comments_without_a_ticker_are_two_events(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", '{"time": 1, "text": "sell"}\n' * 2)
    assert len(read_items(file)) == 2


def test_csv_columns_are_found_under_their_usual_names(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", 'Date,Headlines,Symbol\n2020-07-17,"Fell, again",XYZ\n2020-07-18,Up,\n')
    assert values(read_items(file)) == [
        {"time": "2020-07-17", "text": "Fell, again", "entities": [{"name": "XYZ", "ticker": "XYZ"}]},
        {"time": "2020-07-18", "text": "Up"},
    ]


def test_a_compressed_file_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "a"}\n'))
    assert values(read_items(file)) == [{"text": "a"}]


def test_a_line_that_is_no_event_is_left_for_the_stream_to_judge(tmp_path: Path) -> None:
    items = read_items(written(tmp_path, "a.jsonl", 'not json\n[1]\n{"text": "\\ud800"}\n'))
    assert [item.value for item in items] == [b"not json", b"[1]", b'{"text": "\\ud800"}']


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "time,body\n1,x\n", "no column with the text"),
        ("a.csv", "", "no column with the text"),
        ("a.jsonl", "\n", "holds no events"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_message(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        read_items(written(tmp_path, name, text))


def test_a_missing_file_is_refused_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_items(tmp_path / "absent.jsonl")


def test_speeds_are_multiples_or_max() -> None:
    assert parse_speed("60x") == 60
    assert parse_speed("0.5") == 0.5
    assert parse_speed("max") == float("inf")
    for wrong in ("fast", "-1x", "0x", ""):
        with pytest.raises(UsageError):
            parse_speed(wrong)


async def test_events_come_when_their_time_has_come(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", "".join(f'{{"time": {n * 60}, "text": "x"}}\n' for n in range(4)))
    items, began, moments = read_items(file), time.monotonic(), []
    async for run in paced(items, 600):
        moments.extend([time.monotonic() - began] * len(run))
    assert len(moments) == 4
    for number, moment in enumerate(moments):
        assert moment >= number * 0.1 - 0.01


async def test_max_speed_waits_for_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", '{"time": 0, "text": "x"}\n{"time": 86400000000, "text": "y"}\n')
    assert sum([len(run) async for run in paced(read_items(file), float("inf"))]) == 2
