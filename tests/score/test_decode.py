"""What becomes of a raw record, however broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.records import DeadLetterReason
from stream.score.decode import Decoded, Rejection, decode


def decoded(value: object) -> Decoded:
    result = decode(json.dumps(value).encode(), maximum_bytes=8_000_000)
    assert isinstance(result, Decoded), result
    return result


def rejected(value: bytes | None) -> Rejection:
    result = decode(value, maximum_bytes=8_000_000)
    assert isinstance(result, Rejection), result
    return result


def test_an_event_with_nothing_but_text_is_enough() -> None:
    result = decoded({"text": "Shares fall"})
    assert result.text == "Shares fall"
    assert result.event.time is None


def test_a_headline_alone_is_an_event() -> None:
    assert decoded({"title": "Recall widens"}).text == "Recall widens"
    assert decoded({"title": "Recall widens", "text": "Dairy pulled"}).text == "Recall widens Dairy pulled"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, DeadLetterReason.TOMBSTONE),
        (b"", DeadLetterReason.NOT_JSON),
        (b"Shares fall", DeadLetterReason.NOT_JSON),
        (b'{"text": "cut of', DeadLetterReason.NOT_JSON),
        (b"[" * 200_000, DeadLetterReason.NOT_JSON),
        (b'{"n": ' + b"9" * 5_000 + b"}", DeadLetterReason.NOT_JSON),
        (b"\xff\xfe", DeadLetterReason.NOT_UTF8),
        (b'["text"]', DeadLetterReason.INVALID),
        (b"null", DeadLetterReason.INVALID),
        (b'{"text": 7}', DeadLetterReason.INVALID),
        (b'{"text": "fine", "time": "2026-13-45"}', DeadLetterReason.INVALID),
        (b'{"text": "fine", "time": "1812-06-24T00:00:00Z"}', DeadLetterReason.INVALID),
        (b'{"text": "fine", "time": 1e300}', DeadLetterReason.INVALID),
        (b'{"text": "fine", "time": NaN}', DeadLetterReason.INVALID),
        (b'{"text": "fine", "time": 1' + b"0" * 400 + b"}", DeadLetterReason.INVALID),
        (b'{"text": "fine", "entities": "AAPL"}', DeadLetterReason.INVALID),
        (b'{"text": "fine", "entities": ' + b"[" * 600 + b"]" * 600 + b"}", DeadLetterReason.NOT_JSON),
        (b'{"id": "1"}', DeadLetterReason.NO_TEXT),
        (b'{"text": null}', DeadLetterReason.NO_TEXT),
        (b'{"text": ""}', DeadLetterReason.NO_TEXT),
        (b'{"text": " \\n\\u200b https://t.co/x"}', DeadLetterReason.NO_TEXT),
    ],
)
def test_what_cannot_be_read_is_rejected_with_its_reason(
    value: bytes | None, reason: DeadLetterReason
) -> None:
    result = rejected(value)
    assert result.reason is reason
    assert result.detail


def test_a_record_over_the_limit_is_rejected_unread() -> None:
    result = decode(b'{"text": "fine"}', maximum_bytes=10)
    assert isinstance(result, Rejection)
    assert result.reason is DeadLetterReason.TOO_LARGE


def test_five_megabytes_of_text_are_cut_not_refused() -> None:
    assert 0 < len(decoded({"text": "bad news " * 600_000}).text) <= 4_000


def test_the_rejection_names_the_field_that_is_wrong() -> None:
    assert "entities.0.name" in rejected(b'{"text": "x", "entities": [{"name": ["A"]}]}').detail


def test_a_company_with_an_empty_field_costs_nobody_the_event() -> None:
    given = [
        {"name": "Acme", "ticker": ""},
        {"name": "", "ticker": "BOLT"},
        {"name": None},
        {"ticker": 600519},
        {},
    ]
    found = decoded({"text": "x", "entities": given}).event.entities
    assert [(company.name, company.ticker) for company in found] == [
        ("Acme", None),
        ("BOLT", "BOLT"),
        ("600519", "600519"),
    ]


def test_lone_surrogates_are_dropped_wherever_they_stand() -> None:
    result = decode(
        rb'{"id": "a\ud800", "text": "down \ud83d today", "entities": [{"name": "X\udfff"}]}',
        maximum_bytes=1_000,
    )
    assert isinstance(result, Decoded)
    result.event.to_bytes()
    assert result.text == "down today"
    assert result.event.entities[0].name == "X"


def test_unknown_fields_and_empty_ones_are_kept_out_of_the_way() -> None:
    deep: list[object] = []
    for _ in range(600):
        deep = [deep]
    event = decoded({"text": "x", "retweets": {"deep": deep}, "time": None, "url": "", "id": 42}).event
    assert event.id == "42"
    assert event.time is None
    assert event.url is None


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2014-09-03T10:00:00+08:00", "2014-09-03T02:00:00+00:00"),
        ("2014-09-03 10:00:00", "2014-09-03T10:00:00+00:00"),
        ("2014-09-03", "2014-09-03T00:00:00+00:00"),
        (1409738400, "2014-09-03T10:00:00+00:00"),
        (1409738400000, "2014-09-03T10:00:00+00:00"),
        ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00+00:00"),
    ],
)
def test_times_are_read_in_every_usual_form_and_zone(time: object, expected: str) -> None:
    moment = decoded({"text": "x", "time": time}).event.time
    assert moment is not None
    assert moment.isoformat() == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(st.binary())
def test_no_bytes_ever_raise(value: bytes) -> None:
    decode(value, maximum_bytes=1_000)


@given(
    st.dictionaries(
        st.sampled_from(["text", "id", "time", "title", "source", "kind", "url", "entities", "x"]),
        json_values,
    )
)
def test_no_object_ever_raises_and_what_is_accepted_can_be_written(content: dict[str, object]) -> None:
    result = decode(json.dumps(content).encode(), maximum_bytes=1_000_000)
    if isinstance(result, Decoded):
        assert result.text
        result.event.to_bytes()


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2026-03-04T09:30:00+08:00", "2026-03-04T01:30:00Z"),
        (20260304, "2026-03-04T00:00:00Z"),
        (20260304.0, "2026-03-04T00:00:00Z"),
        ("20260304", "2026-03-04T00:00:00Z"),
        ("20260304093000", "2026-03-04T09:30:00Z"),
        (20260304093000, "2026-03-04T09:30:00Z"),
        ("20260304T0930+0800", "2026-03-04T01:30:00Z"),
        ("20260304T093000.5Z", "2026-03-04T09:30:00.500000Z"),
        (1772616645, "2026-03-04T09:30:45Z"),
        (" 1772616645.0 ", "2026-03-04T09:30:45Z"),
        (1772616645123, "2026-03-04T09:30:45.123000Z"),
        (1772616645123456, "2026-03-04T09:30:45.123456Z"),
        (1772616645000000000, "2026-03-04T09:30:45Z"),
        (30_000_000_000, "2920-08-30T05:20:00Z"),
    ],
)
def test_a_number_is_a_date_by_its_digits_or_a_unix_time_by_its_size(time: object, moment: str) -> None:
    assert decoded({"text": "x", "time": time}).event.model_dump(mode="json")["time"] == moment


def test_what_is_odd_beside_the_text_costs_nobody_the_event() -> None:
    event = decoded(
        {
            "text": "x",
            "id": 1.0,
            "time": " ",
            "source": 5,
            "url": "https://acme.com/" + "a" * 2_000,
            "entities": ["Acme", {"name": "Bolt", "ticker": 600519.0}, " "],
        }
    ).event
    assert (event.id, event.time, event.source, event.url) == ("1", None, "5", None)
    assert [(company.name, company.ticker) for company in event.entities] == [
        ("Acme", None),
        ("Bolt", "600519"),
    ]


@pytest.mark.parametrize("time", [930, "0930", 46085.5, 0, -5, 10**30, "nan"])
def test_a_number_that_can_be_no_time_of_news_is_refused(time: object) -> None:
    rejection = decode(json.dumps({"text": "x", "time": time}).encode(), maximum_bytes=1_000)
    assert isinstance(rejection, Rejection)
    assert rejection.detail.startswith("time: Value error")
