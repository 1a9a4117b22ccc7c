"""The format of `downtick score`: which lines can be read, and what is answered."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import lines
from stream.bundle import Head
from stream.engine.judgement import Judgement, Verdict
from stream.lines import Line, Unreadable, answer, companies, question, read_lines, refusal, to_bytes
from stream.text import MAXIMUM_CHARACTERS
from stream.watchlist import Company, Watchlist

SENTIMENT = Head(name="sentiment", kind="single", labels=["negative", "positive"])
TOPICS = Head(name="topics", kind="multi", labels=["legal", "people"], thresholds=[0.5, 0.5])
STANCE = Head(name="stance", kind="single", labels=["against", "for"])
NEGATIVE = Verdict(labels=("negative",), probabilities={"negative": 0.9, "positive": 0.1})
LEGAL = Verdict(labels=("legal",), probabilities={"legal": 0.8, "people": 0.2})
JUDGEMENT = Judgement({"sentiment": NEGATIVE, "topics": LEGAL})


def _read(*raw: bytes) -> list[Line | Unreadable]:
    return list(read_lines(io.BytesIO(b"\n".join(raw))))


def _one(raw: bytes) -> Line | Unreadable:
    (entry,) = _read(raw)
    return entry


def _answer(raw: bytes, watchlist: Watchlist | None = None) -> dict:
    line = _one(raw)
    return answer(line, companies(line.text, line.entities, watchlist), JUDGEMENT, [SENTIMENT, TOPICS])


def test_a_text_alone_is_enough():
    assert _one(b'{"text": "bad news"}') == Line(1, 20, None, "bad news", [])


@pytest.mark.parametrize("value", ['"a7"', "7", "7.5", "true", "null", '"\\ud800"', '"\\u2028"'])
def test_an_id_is_given_back_as_it_was(value):
    written = to_bytes(_answer(b'{"text": "x", "id": %s}' % value.encode()))

    assert json.loads(written)["id"] == json.loads(value)


def test_an_absent_id_is_null():
    assert _answer(b'{"text": "x"}')["id"] is None


def test_an_answer_has_every_head_and_the_entities_with_the_sentiment_of_the_text():
    raw = '{"id": 1, "text": "x", "entities": [{"name": "茅台", "start": 3, "ticker": null}]}'

    assert _answer(raw.encode()) == {
        "id": 1,
        "sentiment": "negative",
        "sentiment_probabilities": {"negative": 0.9, "positive": 0.1},
        "topics": ["legal"],
        "topic_probabilities": {"legal": 0.8, "people": 0.2},
        "entities": [
            {
                "name": "茅台",
                "start": 3,
                "ticker": None,
                "sentiment": "negative",
                "sentiment_probabilities": {"negative": 0.9, "positive": 0.1},
            }
        ],
    }


def test_each_entity_has_the_sentiment_towards_it_where_the_model_judges_entities():
    towards = Head(
        name="entity_sentiment",
        kind="single",
        labels=["negative", "positive"],
        scope="entity",
        fallback="sentiment",
    )
    positive = Verdict(labels=("positive",), probabilities={"negative": 0.2, "positive": 0.8})
    line = _one(b'{"text": "A gains, B falls", "entities": [{"name": "A"}, {"name": "Z", "ticker": "ZZ"}]}')
    judgement = Judgement({"sentiment": NEGATIVE}, ({"entity_sentiment": positive}, {}))

    fields = answer(line, line.entities, judgement, [SENTIMENT, towards])

    assert question(line, line.entities, None).entities == (("A",), ("Z", "$zz", "ZZ"))
    assert [entity["sentiment"] for entity in fields["entities"]] == ["positive", "negative"]
    assert "entity_sentiment" not in fields


def test_a_bundle_for_another_task_is_published_under_its_own_names():
    against = Verdict(labels=("against",), probabilities={"against": 0.6, "for": 0.4})

    line = _one(b'{"id": 1, "text": "x", "entities": [{"name": "Acme"}]}')
    fields = answer(line, line.entities, Judgement({"stance": against}), [STANCE])

    assert fields == {
        "id": 1,
        "stance": "against",
        "stance_probabilities": {"against": 0.6, "for": 0.4},
        "entities": [{"name": "Acme"}],
    }


def test_a_watch_list_adds_tickers_and_the_companies_in_the_text():
    watchlist = Watchlist(
        [
            Company(name="Acme", ticker="ACME"),
            Company(name="贵州茅台", ticker="600519.SH", aliases=["茅台"]),
        ]
    )
    raw = '{"text": "茅台 sues Acme", "entities": [{"name": "ACME", "start": 8}, {"name": ""}]}'

    entities = _answer(raw.encode(), watchlist)["entities"]

    assert [(entity["name"], entity.get("ticker")) for entity in entities] == [
        ("ACME", "ACME"),
        ("", None),
        ("茅台", "600519.SH"),
    ]
    assert entities[0]["start"] == 8
    assert all(entity["sentiment"] == "negative" for entity in entities)


def test_title_and_text_are_read_together_as_in_the_stream():
    assert _one(b'{"title": "Recall", "text": "at Acme"}').text == "Recall at Acme"
    assert _one(b'{"title": "Recall"}').text == "Recall"


def test_texts_are_normalised():
    assert _one('{"text": "ＡＢＣ\\ud800\\u0000 &amp; https://x.yz 坏"}'.encode()).text == "ABC & 坏"


def test_five_megabytes_of_text_are_cut_to_what_is_judged():
    entry = _one(b'{"text": "%s"}' % (b"bad " * 1_250_000))

    assert len(entry.text) == MAXIMUM_CHARACTERS
    assert entry.end > 5_000_000


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"not json", "not JSON: Expecting value at character 1"),
        (b'{"text": "x"', "not JSON: Expecting ',' delimiter at character 13"),
        (b'{"text": "x"} {"text": "y"}', "not JSON: Extra data at character 15"),
        (b'{"id": NaN, "text": "x"}', "not JSON: NaN is no number that JSON can give back"),
        (b'{"id": 1e999, "text": "x"}', "not JSON: 1e999 is no number that JSON can give back"),
        (b'{"id": %s, "text": "x"}' % (b"1" * 5000), "not JSON: Exceeds the limit"),
        (b"[" * 100_000, "not JSON that can be read: nested too deeply"),
        (b'["text"]', "a JSON object is expected, not a list"),
        (b'"text"', "a JSON object is expected, not a string"),
        (b"null", "a JSON object is expected, not null"),
        (b'{"text": "\xff"}', "not UTF-8: invalid start byte at byte 11"),
        ('{"text": "x"}'.encode("utf-16"), "not UTF-8: invalid start byte at byte 1"),
        (b'{"id": [1], "text": "x"}', "`id` must be a string or a number, not a list"),
    ],
)
def test_a_line_that_is_no_event_says_why(raw, reason):
    entry = _read(raw)[0]

    assert isinstance(entry, Unreadable)
    assert entry.reason.startswith(reason)
    assert refusal(entry) == {"id": None, "error": entry.reason, "line": 1}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"x": 1', "`text` is missing"),
        ('"text": null', "`text` is missing"),
        ('"text": 7', "`text` must be a string, not a number"),
        ('"text": true', "`text` must be a string, not true or false"),
        ('"text": "x", "title": {}', "`title` must be a string, not an object"),
        ('"text": ""', "nothing is left of the text but links, tags and invisible characters"),
        ('"text": " https://x.yz \\u200b"', "nothing is left of the text"),
        ('"text": "x", "entities": {}', "`entities` must be a list, not an object"),
        ('"text": "x", "entities": [{"name": "A"}, {}]', "`entities[1]` must be an object with"),
        ('"text": "x", "entities": ["A"]', "`entities[0]` must be an object with a `name`"),
    ],
)
def test_a_wrong_event_is_refused_under_its_id(fields, reason):
    entry = _one(b'{"id": "a7", %s}' % fields.encode())

    assert isinstance(entry, Unreadable)
    assert entry.id == "a7"
    assert entry.reason.startswith(reason)


def test_blank_lines_are_counted_but_not_answered():
    entries = _read(b"\xef\xbb\xbf", b"", b'{"text": "x"}', b"  \r", b"oops", b"")

    assert [entry.number for entry in entries] == [3, 5]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm():
    first, second = _read(b'\xef\xbb\xbf{"text": "x"}\r', b'{"text": "y"}\r')

    assert (first.text, second.text) == ("x", "y")


def test_a_line_too_long_to_be_held_is_refused_and_the_next_is_read(monkeypatch):
    monkeypatch.setattr(lines, "MAXIMUM_LINE_BYTES", 100)

    entries = _read(b"y" * 450, b'{"text": "x"}', b"z" * 101, b"z" * 100)

    assert [entry.number for entry in entries] == [1, 2, 3, 4]
    assert [getattr(entry, "reason", None) for entry in entries] == [
        "longer than 100 bytes",
        None,
        "longer than 100 bytes",
        "not JSON: Expecting value at character 1",
    ]
    assert [entry.end for entry in entries] == [451, 465, 567, 667]


@given(st.lists(st.binary(max_size=60)))
def test_whatever_is_sent_every_line_is_read_or_refused(raw):
    content = b"\n".join(raw)

    entries = _read(content)

    filled = [line for line in content.split(b"\n") if line.strip(b" \t\r\v\f\xef\xbb\xbf")]
    assert len(entries) >= sum(1 for line in filled if line.startswith(b"{"))
    for entry in entries:
        fields = refusal(entry) if isinstance(entry, Unreadable) else {"id": entry.id}
        assert to_bytes(fields).count(b"\n") == 1


def test_an_answer_is_one_line_for_every_reader():
    written = to_bytes({"id": "a\u2028b\u2029c\u0085d\ne 坏"})

    assert len(written.decode().splitlines()) == 1
    assert "坏" in written.decode()
    assert json.loads(written) == {"id": "a\u2028b\u2029c\u0085d\ne 坏"}


def test_more_companies_than_an_event_may_have_are_refused() -> None:
    event = json.dumps({"text": "fine", "entities": [{"name": "Acme"}] * 101})
    (line,) = read_lines(io.BytesIO(event.encode()))
    assert isinstance(line, Unreadable)
    assert line.reason == "`entities` may be 100 at most, and are 101"
