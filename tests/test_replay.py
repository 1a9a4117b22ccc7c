"""A file of events, read, paced and sent."""

import asyncio
import gzip
import json
import time
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from pydantic import ValidationError

from stream.command import UsageError
from stream.records import MAXIMUM_ENTITIES, NewsEvent
from stream.replay import Item, paced, parse_speed, read_items, send
from stream.settings import Settings


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


def tickers(items: list[Item]) -> list[list[str]]:
    return [[entity["ticker"] for entity in json.loads(item.value)["entities"]] for item in items]


def test_the_same_row_again_is_an_event_of_its_own(tmp_path: Path) -> None:
    rows = [{"time": 1, "text": "sell", "ticker": ticker} for ticker in "AABAB"]
    file = written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert tickers(read_items(file)) == [["A"], ["A", "B"], ["A", "B"]]


def test_no_more_companies_than_an_event_may_name_are_laid_together(tmp_path: Path) -> None:
    rows = [{"time": 2**30, "text": "up", "ticker": f"T{number}"} for number in range(MAXIMUM_ENTITIES + 1)]
    first, second = read_items(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert len(NewsEvent.model_validate_json(first.value).entities) == MAXIMUM_ENTITIES
    assert tickers([second]) == [[f"T{MAXIMUM_ENTITIES}"]]
    with pytest.raises(ValidationError, match="at most"):
        NewsEvent.model_validate({"text": "up", "entities": [{"name": "A"}] * (MAXIMUM_ENTITIES + 1)})


@pytest.mark.parametrize("entities", [[], None, [{"name": "Acme"}]])
def test_rows_that_name_their_companies_themselves_are_events_each(tmp_path: Path, entities: object) -> None:
    row = {"time": 1, "text": "sell", "entities": entities}
    assert values(read_items(written(tmp_path, "a.jsonl", f"{json.dumps(row)}\n" * 2))) == [row, row]


@pytest.mark.parametrize("entities", [[], None])
def test_a_ticker_beside_companies_that_are_none_is_the_company(tmp_path: Path, entities: object) -> None:
    row = {"time": 1, "text": "sell", "entities": entities, "ticker": "A"}
    assert tickers(read_items(written(tmp_path, "a.jsonl", json.dumps(row)))) == [["A"]]


def test_companies_that_a_row_names_go_before_its_ticker(tmp_path: Path) -> None:
    row = {"time": 1, "text": "sell", "entities": [{"name": "Acme"}]}
    assert values(read_items(written(tmp_path, "a.jsonl", json.dumps(row | {"ticker": "A"})))) == [row]


def test_a_list_of_tickers_is_a_company_each(tmp_path: Path) -> None:
    rows = [
        {"time": 1, "text": "sell", "symbol": symbols}
        for symbols in (["A", "B", "A"], "C", ["D", "A"], 600519, [], [None, ""])
    ]
    items = read_items(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert tickers(items[:2]) == [["A", "B", "C"], ["D", "A", "600519"]]
    assert values(items[2:]) == [{"time": 1, "text": "sell"}] * 2


def test_two_equal_comments_without_a_ticker_are_two_events(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", '{"time": 1, "text": "sell"}\n' * 2)
    assert len(read_items(file)) == 2


def test_csv_columns_are_found_under_their_usual_names(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", 'Date,Headlines,Symbol\n2020-07-17,"Fell, again",XYZ\n2020-07-18,Up,\n')
    assert values(read_items(file)) == [
        {"time": "2020-07-17", "text": "Fell, again", "entities": [{"name": "XYZ", "ticker": "XYZ"}]},
        {"time": "2020-07-18", "text": "Up"},
    ]


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ({"title": "t", "content": "c"}, {"title": "t", "text": "c"}),
        ({"title": "t"}, {"title": "t"}),
        ({"headline": "h", "content": "c"}, {"title": "h", "text": "c"}),
        ({"text": "c", "headlines": "h"}, {"title": "h", "text": "c"}),
        ({"title": "t", "headline": "h"}, {"title": "t", "text": "h"}),
        ({"title": "t", "headline": "h", "text": "c"}, {"title": "t", "headline": "h", "text": "c"}),
        ({"text": None, "content": "c"}, {"text": "c"}),
        ({"text": "c", "headlines": ["a", "b"]}, {"text": "c", "headlines": ["a", "b"]}),
    ],
)
def test_a_body_goes_before_a_headline_which_is_then_the_title(
    tmp_path: Path, row: dict[str, object], read: dict[str, object]
) -> None:
    assert values(read_items(written(tmp_path, "a.jsonl", json.dumps(row)))) == [read]


def test_a_comma_behind_the_last_field_of_a_csv_row_does_no_harm(tmp_path: Path) -> None:
    assert values(read_items(written(tmp_path, "a.csv", "time,text\n1,up,\n"))) == [
        {"time": "1", "text": "up"}
    ]


def test_a_text_in_a_csv_file_may_be_long_and_have_quotation_marks_and_commas(tmp_path: Path) -> None:
    text = 'He said "sell", again' + "!" * 200_000
    quoted = text.replace('"', '""')
    items = read_items(written(tmp_path, "a.csv", f'ticker, text\nA, "{quoted}"\n'))
    assert [value["text"] for value in values(items)] == [text]


@pytest.mark.parametrize(
    ("ticker", "companies"),
    [
        ("NaN", []),
        ("600519.0", ["600519"]),
        ("600519", ["600519"]),
        ('["A", NaN, 5]', ["A", "5"]),
        ('{"symbol": "A"}', [{"symbol": "A"}]),
        ("true", [True]),
    ],
)
def test_what_a_ticker_cannot_be_is_no_company_of_that_name(
    tmp_path: Path, ticker: str, companies: list[object]
) -> None:
    (event,) = values(read_items(written(tmp_path, "a.jsonl", f'{{"text": "x", "ticker": {ticker}}}\n')))
    assert [company["name"] for company in event.get("entities", [])] == companies


def test_a_title_is_enough_for_a_csv_file(tmp_path: Path) -> None:
    assert values(read_items(written(tmp_path, "a.csv", "title\nUp\n"))) == [{"title": "Up"}]


def test_a_row_from_the_future_stays_behind_its_neighbour(tmp_path: Path) -> None:
    years = [2014, 2099, 2015]
    rows = "".join(f'{{"time": "{year}-01-01", "text": "x"}}\n' for year in years)
    items = read_items(written(tmp_path, "a.jsonl", rows))
    assert [item.time.year for item in items if item.time] == [2014, 2014, 2015]
    assert [value["time"][:4] for value in values(items)] == ["2014", "2099", "2015"]


def test_chinese_is_written_as_it_is(tmp_path: Path) -> None:
    (item,) = read_items(written(tmp_path, "a.jsonl", '{"text": "股价跌"}'))
    assert item.value == '{"text": "股价跌"}'.encode()


def test_lines_of_any_depth_are_read(tmp_path: Path) -> None:
    lines = [f'{{"text": "x", "more": {"[" * depth}{"]" * depth}}}' for depth in range(800, 1000)]
    assert len(read_items(written(tmp_path, "a.jsonl", "\n".join(lines)))) == len(lines)


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
        ("a.csv", "time,text\n1,up\n2,fell, again\n", r"a\.csv, line 3: other fields than the 2 columns"),
        ("a.csv", "text,ticker\nup,A\nProfit up, auditors resign,\n", r"a\.csv, line 3: other fields"),
        ("a.csv", "text,ticker\nProfit up, auditors resign,\nup,A\n", r"a\.csv, line 3: other fields"),
        ("a.csv", 'text\nup\n"Buy the dip\nfell\nfell\n', r"a\.csv, line 3: not CSV: unexpected end"),
        ("a.csv", 'text\nup\n"Sell" says Cramer\n', r"a\.csv, line 3: not CSV: .* quotation mark"),
        ("a.csv", "time;text\n1;up\n", "commas are to stand between them"),
        ("a.csv", "text,text\nup,down\n", "two columns 'text'"),
        ("a.csv", "time,text\n1,x\n\n\n1,a,b\n", r"a\.csv, line 5: other fields"),
        ("a.jsonl", '[\n{"text": "up"}]\n', "write each of its objects on a line of its own"),
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
    file = written(
        tmp_path, "a.jsonl", "".join(f'{{"time": {1e9 + n * 60}, "text": "x"}}\n' for n in range(4))
    )
    items, began, moments = read_items(file), time.monotonic(), []
    async for run in paced(items, 600):
        moments.extend([time.monotonic() - began] * len(run))
    assert len(moments) == 4
    for number, moment in enumerate(moments):
        assert moment >= number * 0.1 - 0.01


async def test_max_speed_waits_for_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", '{"time": 0, "text": "x"}\n{"time": 86400000000, "text": "y"}\n')
    assert sum([len(run) async for run in paced(read_items(file), float("inf"))]) == 2


class Broker:
    """Takes records up to a size, as a producer that is connected to it sees it."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.values: list[bytes] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, _: str, value: bytes) -> asyncio.Future[None]:
        confirmation = asyncio.get_running_loop().create_future()
        if len(value) > self._largest:
            confirmation.set_exception(MessageSizeTooLargeError())
        else:
            self.values.append(value)
            confirmation.set_result(None)
        return confirmation


async def test_an_event_that_the_broker_refuses_ends_in_one_message_with_how_many_were_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def topics_exist(*_: object) -> None: ...

    broker = Broker(largest=10)
    monkeypatch.setattr("stream.replay.require_topics", topics_exist)
    monkeypatch.setattr("stream.replay.new_producer", lambda _: broker)
    items = [Item(b"small", None)] * 600 + [Item(b"much too large", None), Item(b"small", None)]
    with pytest.raises(UsageError, match=r"601 of 602 events were sent to news\.raw.*MessageSizeTooLarge"):
        await send(Settings(), items, float("inf"))
    assert len(broker.values) == 601


@pytest.mark.parametrize(("value", "time"), [("2026-03-04", "2026-03-04"), ("Reuters", None), (True, None)])
def test_what_is_published_is_a_time_only_where_one_stands_there(
    tmp_path: Path, value: object, time: str | None
) -> None:
    event = json.dumps({"text": "x", "published": value})
    (item,) = values(read_items(written(tmp_path, "a.jsonl", event)))
    assert item.get("time") == time
