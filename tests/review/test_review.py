"""Events put aside for a person, and what becomes of the person's labels."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from tiny_bundle import ENTITY_HEADS

from stream.cli import main
from stream.command import UsageError
from stream.evaluation.labelled import read_labelled
from stream.records import Position, ReviewItem, ReviewReason, ScoredEvent, ScoredMention
from stream.review.cli import label_all
from stream.review.labels import LabelFile
from stream.review.sampling import sample
from stream.settings import ReviewSettings, Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OFTEN = ReviewSettings(random_share=0.1, uncertain_share=0.3)


def event(name: str, *, negative: float = 0.9, companies: dict[str, float] | None = None) -> ScoredEvent:
    """An event with that probability of negative, for itself and for each company; the rest is neutral."""

    def probabilities(share: float) -> dict[str, float]:
        return {"negative": share, "neutral": 1 - share, "positive": 0.0}

    def label(share: float) -> str:
        return "negative" if share > 0.5 else "neutral"

    return ScoredEvent(
        id=name,
        position=Position(topic="news.raw", partition=0, offset=1),
        time=NOON,
        scored_at=NOON,
        text=f"Acme sues Bolt, {name}",
        language="en",
        sentiment=label(negative),
        sentiment_probabilities=probabilities(negative),
        confidence=max(negative, 1 - negative),
        topics=[],
        topic_probabilities={},
        entities=[
            ScoredMention(
                name=company,
                subject=f"entity:{company}",
                sentiment=label(share),
                sentiment_probabilities=probabilities(share),
            )
            for company, share in (companies or {}).items()
        ],
        subjects=["all"],
        bundle="abc",
    )


def reasons(settings: ReviewSettings, **changes: object) -> list[ReviewReason | None]:
    items = [sample(event(f"e{number}", **changes), settings) for number in range(2000)]
    return [item.reason if item else None for item in items]


def test_the_stream_is_sampled_at_its_share() -> None:
    drawn = reasons(OFTEN)
    assert 150 < drawn.count(ReviewReason.RANDOM) < 250
    assert ReviewReason.UNCERTAIN not in drawn


def test_what_the_model_is_unsure_of_is_sampled_beside_it() -> None:
    drawn = reasons(OFTEN, negative=0.55)
    assert 150 < drawn.count(ReviewReason.RANDOM) < 250
    assert 450 < drawn.count(ReviewReason.UNCERTAIN) < 650
    assert reasons(OFTEN, companies={"Bolt": 0.55}).count(ReviewReason.UNCERTAIN) > 400


def test_an_event_that_is_scored_again_is_drawn_again() -> None:
    assert reasons(OFTEN, negative=0.55) == reasons(OFTEN, negative=0.55)


def test_nothing_is_put_aside_where_nobody_reviews() -> None:
    assert set(reasons(ReviewSettings(random_share=0, uncertain_share=0), negative=0.55)) == {None}


def items(*names: str, companies: dict[str, float] | None = None) -> list[ReviewItem]:
    return [ReviewItem(reason=ReviewReason.RANDOM, event=event(name, companies=companies)) for name in names]


def press(keys: str, given: list[ReviewItem], file: Path) -> str:
    """Label items with these keys; what the person saw."""
    runner = CliRunner()
    with runner.isolation(input=keys) as (out, *_):
        label_all(Console(), given, LabelFile(file))
        return out.getvalue().decode()


def test_each_key_is_a_label_of_a_text_or_towards_a_company(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    shown = press(
        "npu" + "s" + "upp", items("one", companies={"Acme": 0.9, "Bolt": 0.9}) + items("two"), file
    )
    assert "towards Bolt?" in shown
    [row] = read_labelled(file, ENTITY_HEADS)
    assert row.text == "Acme sues Bolt, one"
    assert row.targets["sentiment"].allowed == {"negative"}
    assert {entity.name: set(entity.targets["entity_sentiment"].allowed) for entity in row.entities} == {
        "Acme": {"positive"},
        "Bolt": {"neutral"},
    }


def test_a_company_that_the_text_has_by_its_ticker_alone_is_found_again_with_its_label(
    tmp_path: Path,
) -> None:
    file = tmp_path / "labels.jsonl"
    [item] = items("one", companies={"Apple Inc.": 0.9})
    apple = item.event.entities[0].model_copy(update={"ticker": "AAPL"})
    event = item.event.model_copy(update={"text": "$AAPL plunges", "entities": [apple]})
    press("nn", [item.model_copy(update={"event": event})], file)
    [row] = read_labelled(file, ENTITY_HEADS)
    assert [row.text[slice(*span)] for span in row.entities[0].spans] == ["$AAPL"]


def test_a_company_without_a_label_is_kept_for_the_reading_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    press("nsp", items("one", companies={"Acme": 0.9, "Bolt": 0.9}), file)
    [row] = read_labelled(file, ENTITY_HEADS)
    assert [(entity.name, bool(entity.targets)) for entity in row.entities] == [
        ("Acme", False),
        ("Bolt", True),
    ]


def test_the_model_says_its_own_only_after_the_person(tmp_path: Path) -> None:
    shown = press("p", items("one"), tmp_path / "labels.jsonl")
    assert shown.index("the text?") < shown.index("the model: negative (0.90)")


def test_who_quits_keeps_what_was_labelled_and_is_not_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    press("nq", items("one", "two"), file)
    assert len(LabelFile(file)) == 1
    shown = press("xp", items("one", "two"), file)
    assert "Acme sues Bolt, one" not in shown
    assert len(LabelFile(file)) == 2
    assert LabelFile(file).agreement() == {ReviewReason.RANDOM: (1, 2)}


def test_a_company_that_the_text_does_not_name_is_not_asked_about(tmp_path: Path) -> None:
    shown = press("n", items("one", companies={"Meant Only": 0.9}), tmp_path / "labels.jsonl")
    assert "Meant Only" not in shown


@pytest.mark.parametrize("line", ["{", "[]", '{"id": ["1"]}', '{"id": "1", "reason": {"a": 1}}'])
def test_a_file_that_holds_no_labels_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(json.dumps({"id": "1", "text": "x"}) + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 2"):
        LabelFile(file)


def test_the_file_is_named_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def waiting(settings: Settings) -> list[ReviewItem]:  # noqa: ARG001
        return items("one")

    monkeypatch.setattr("stream.review.cli.waiting", waiting)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["review", "--labels", "[desk].jsonl"], input="n")
    assert result.exit_code == 0, result.output
    assert "1 labels added to [desk].jsonl, 1 in it" in result.output


def test_who_quits_at_a_company_keeps_what_was_said_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    press("nq", items("one", companies={"Acme": 0.9}), file)
    [row] = read_labelled(file, ENTITY_HEADS)
    assert row.targets["sentiment"].allowed == {"negative"}


def test_a_torn_last_line_does_not_swallow_the_next_label(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"id": "zero", "text": "by hand", "sentiment": "neutral"}', encoding="utf-8")
    press("n", items("one"), file)
    assert [row.text for row in read_labelled(file, ENTITY_HEADS)] == ["by hand", "Acme sues Bolt, one"]


def test_without_a_terminal_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal() -> str:
        raise OSError(6, "No such device or address", "/dev/tty")

    monkeypatch.setattr("click.getchar", no_terminal)
    with pytest.raises(UsageError, match="needs a terminal"):
        label_all(Console(), items("one"), LabelFile(tmp_path / "labels.jsonl"))
