"""`downtick evaluate` and `downtick calibrate`, on a bundle whose answers can be counted by hand."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.bundle import Bundle, load_bundle, write_manifest
from stream.cli import main
from stream.evaluation.calibrated import Change
from stream.evaluation.labelled import LabelledError, read_labelled
from stream.evaluation.rows import Row, Target, write_rows
from stream.pseudonyms import Pseudonyms


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("evaluation") / "tiny", ENTITY_HEADS)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_each_kind_of_label_is_judged_by_its_head(bundle: Bundle, tmp_path: Path) -> None:
    file = write(
        tmp_path / "desk.jsonl",
        {"text": "bad day", "sentiment": "negative"},
        {"text": "good day", "sentiment": "negative", "source": "forum"},
        {"title": "坏", "negative": True},
        {"text": "a day", "negative": False},
        {"text": "lawsuit", "topics": ["legal-regulation", "people"]},
        {
            "text": "bad Acme, good Bolt",
            "entities": [
                {"name": "Acme", "sentiment": "negative"},
                {"name": "Bolt", "sentiment": "positive"},
            ],
        },
    )
    result = run("evaluate", "--bundle", bundle.folder, "--data", file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["bundle"] == bundle.hash
    sentiment = found["heads"]["sentiment"]
    assert (sentiment["all"]["rows"], sentiment["all"]["accuracy"]) == (4, 0.75)
    assert set(sentiment["by_set"]) == {"desk", "forum"}
    topics = found["heads"]["topics"]["all"]["labels"]
    assert (topics["legal-regulation"]["recall"], topics["people"]["recall"]) == (1.0, 0.0)
    entities = found["heads"]["entity_sentiment"]
    assert (entities["all"]["rows"], entities["all"]["accuracy"]) == (2, 1.0)
    # As a whole the text has one sentiment, which is wrong for one of the two.
    assert (entities["opposed"]["accuracy"], entities["opposed_as_text"]["accuracy"]) == (1.0, 0.5)
    table = run("evaluate", "--bundle", bundle.folder, "--data", file)
    assert "opposed, by text" in table.output


def test_only_texts_that_are_for_one_company_and_against_another_are_opposed(
    bundle: Bundle, tmp_path: Path
) -> None:
    def text(*sentiments: str) -> dict[str, object]:
        names = ["Acme", "Bolt", "Cobalt"][: len(sentiments)]
        entities = [{"name": name, "sentiment": one} for name, one in zip(names, sentiments, strict=True)]
        return {"text": "bad Acme, good Bolt, Cobalt", "entities": entities}

    rows = [text("negative", "neutral"), text("positive", "neutral"), text("negative", "positive", "neutral")]
    file = write(tmp_path / "desk.jsonl", *rows)
    found = json.loads(run("evaluate", "--bundle", bundle.folder, "--data", file, "--json").output)
    entities = found["heads"]["entity_sentiment"]
    assert entities["all"]["rows"] == 7
    assert entities["opposed"]["rows"] == 3


def test_a_company_that_the_text_has_not_is_judged_as_the_text_is_and_teaches_its_own_head_nothing(
    bundle: Bundle, tmp_path: Path
) -> None:
    """The head over texts, fitted, calls negative what was neutral: so do absent companies."""
    fitted = run(
        "calibrate",
        write(tmp_path / "desk.jsonl", *moved(20)),
        "--bundle",
        bundle.folder,
        "--out",
        tmp_path / "a",
    )
    assert fitted.exit_code == 0, fitted.output
    absent = [
        {"text": f"a day {number}", "entities": [{"name": "Acme", "sentiment": "negative"}]}
        for number in range(30)
    ]
    file = write(tmp_path / "absent.jsonl", *absent)
    manifest = load_bundle(tmp_path / "a").manifest
    entity = manifest.head("entity_sentiment").model_copy(update={"offsets": [-9.0, 9.0, 0.0]})
    heads = [entity if head.name == entity.name else head for head in manifest.heads]
    write_manifest(tmp_path / "a", manifest.model_copy(update={"heads": heads}))
    found = json.loads(run("evaluate", "--bundle", tmp_path / "a", "--data", file, "--json").output)
    assert found["heads"]["entity_sentiment"]["all"]["accuracy"] == 1.0
    refused = run("calibrate", file, "--bundle", tmp_path / "a", "--out", tmp_path / "b")
    assert "there are, of sentiment: 0 (rows: none); of entity_sentiment: 0 (rows: none)" in refused.output


def test_texts_without_any_label_count_only_where_bare_ones_are_of_use(
    bundle: Bundle, tmp_path: Path
) -> None:
    file = write(tmp_path / "bare.jsonl", {"text": "bad Acme", "entities": [{"name": "Acme"}]})
    [row] = read_labelled(file, bundle.manifest.heads, bare=True)
    assert [entity.name for entity in row.entities] == ["Acme"]
    with pytest.raises(LabelledError):
        read_labelled(file, bundle.manifest.heads)


def test_false_alarms_alone_are_told(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"text": f"bad day {number}", "negative": False} for number in range(50)]
    file = write(tmp_path / "alarms.jsonl", *rows)
    arguments = ("evaluate", "--bundle", bundle.folder, "--data", file)
    found = json.loads(run(*arguments, "--json").output)["heads"]["sentiment"]
    assert found["by_set"] == {"alarms": {"rows": 50, "accuracy": 0.0}}
    assert "50" in run(*arguments).output


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle that reads the first company as Good, with Acme on the watch list of the settings."""
    watchlist = tmp_path / "watchlist.yaml"
    watchlist.write_text("entities: [{name: Acme, ticker: ACM, aliases: [Acme Steel]}]\n", encoding="utf-8")
    monkeypatch.setenv("DOWNTICK_WATCHLIST", str(watchlist))
    return make_tiny_bundle(tmp_path / "named", ENTITY_HEADS, pseudonyms=Pseudonyms(latin=("Good",)))


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("a day at Acme", []),
        ("a day at Bolt", [{"name": "Bolt"}]),
        ("a day, $ACM", [{"name": "Acme Holdings", "ticker": "ACM"}]),
        ("a day at Acme Steel", [{"name": "ACM Co", "ticker": "ACM"}]),
    ],
)
def test_a_text_is_read_with_its_companies_as_in_the_stream(
    listed: Bundle, tmp_path: Path, text: str, entities: list[dict[str, str]]
) -> None:
    """Under its pseudonym the company makes good news of a neutral text."""
    file = write(tmp_path / "desk.jsonl", {"text": text, "sentiment": "positive", "entities": entities})
    found = json.loads(run("evaluate", "--bundle", listed.folder, "--data", file, "--json").output)
    assert found["heads"]["sentiment"]["all"]["accuracy"] == 1.0
    assert found["heads"]["entity_sentiment"]["all"] == {}


def test_rows_that_training_wrote_are_judged_by_all_names_of_their_companies(
    listed: Bundle, tmp_path: Path
) -> None:
    """Under its pseudonym the company makes good news of a neutral text."""
    acme = {"name": "Acme", "ticker": "ACM"}
    row = {"text": "a day, $ACM", "sentiment": "positive", "entities": [acme]}
    file = write(tmp_path / "desk.jsonl", row)
    rows = read_labelled(file, listed.manifest.heads)
    write_rows(tmp_path / "test.jsonl", rows)
    assert read_labelled(tmp_path / "test.jsonl", listed.manifest.heads) == rows
    result = run("evaluate", "--bundle", listed.folder, "--data", tmp_path / "test.jsonl", "--json")
    assert json.loads(result.output)["heads"]["sentiment"]["all"]["accuracy"] == 1.0


def test_a_fit_sees_texts_as_the_stream_does(listed: Bundle, tmp_path: Path) -> None:
    rows = [{"text": f"a day {number} at Acme", "sentiment": "positive"} for number in range(20)]
    rows += [{"text": f"a day {number}", "sentiment": "neutral"} for number in range(20)]
    file = write(tmp_path / "desk.jsonl", *rows)
    result = run("calibrate", file, "--bundle", listed.folder, "--out", tmp_path / "fitted")
    assert result.exit_code == 0, result.output
    measured = load_bundle(tmp_path / "fitted").manifest.metrics["calibration"]["heads"]["sentiment"]
    assert measured["before"]["accuracy"] == 1.0


def test_csv_is_read_too(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "text,sentiment,topics\nbad,negative,\nprofit,,earnings|markets\nnothing,,\n", encoding="utf-8"
    )
    rows = read_labelled(file, bundle.manifest.heads)
    assert [sorted(row.targets) for row in rows] == [["sentiment"], ["topics"]]
    assert rows[1].targets["topics"].allowed == {"earnings", "markets"}


def test_what_is_null_or_empty_is_unlabelled(bundle: Bundle, tmp_path: Path) -> None:
    file = write(
        tmp_path / "rows.jsonl",
        {"text": "bad", "sentiment": None, "topics": None, "negative": True, "title": None, "source": None},
        {"text": "good", "sentiment": "", "topics": [], "negative": ""},
        {"text": "a day", "sentiment": "neutral", "topics": "", "entities": None},
        {"text": "Acme", "entities": [{"name": "Acme", "sentiment": None, "negative": False}]},
    )
    rows = read_labelled(file, bundle.manifest.heads)
    assert [sorted(row.targets) for row in rows] == [["sentiment"], ["topics"], ["sentiment"], []]
    assert rows[3].entities[0].targets["entity_sentiment"].allowed == {"neutral", "positive"}
    assert {row.source for row in rows} == {"rows"}


def test_a_text_that_commas_would_cut_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("sentiment,text\nnegative,bad,\nnegative,a loss, and a fine\n", encoding="utf-8")
    with pytest.raises(
        LabelledError, match=r"line 3: other fields than the 2 columns; put a text with commas"
    ):
        read_labelled(file, bundle.manifest.heads)


def test_companies_in_a_csv_are_json(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    entities = '"[{""name"": ""Acme"", ""sentiment"": ""positive""}]"'
    file.write_text(f"text,entities\ngood Acme,{entities}\n", encoding="utf-8")
    [row] = read_labelled(file, bundle.manifest.heads)
    [entity] = row.entities
    assert (entity.name, entity.targets["entity_sentiment"].allowed) == ("Acme", {"positive"})
    file.write_text("text,sentiment,entities\ngood Acme,positive,Acme\n", encoding="utf-8")
    with pytest.raises(LabelledError, match="line 2: `entities` must be a list of objects"):
        read_labelled(file, bundle.manifest.heads)


def test_a_source_is_shown_as_it_is_written(bundle: Bundle, tmp_path: Path) -> None:
    rows = [
        {"text": "bad", "sentiment": "negative", "source": source}
        for source in ("[/desk]", "desk[a]", "desk \ud800")
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shown = run("evaluate", "--bundle", bundle.folder, "--data", file)
    assert shown.exit_code == 0, shown.output
    assert r"desk \ud800" in shown.output
    assert "[/desk]" in shown.output
    assert "desk[a]" in shown.output


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "x", "sentiment": "sad"}', "line 1: sentiment has no label 'sad', only negative"),
        ('{"text": "x", "negative": "maybe"}', "line 1: `negative` must be true or false"),
        ('{"sentiment": "negative"}', "line 1: it has no text"),
        ('{"text": 5, "sentiment": "negative"}', "line 1: `text` must be a text, not '5'"),
        ('{"text": "x", "topics": 5}', "line 1: topics must be a list of labels, not 5"),
        ("nonsense", "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
        ("[1]", "line 1: a JSON object is wanted"),
        ('{"text": "x"}', "holds no row with a label of sentiment"),
        ('{"text": "x", "entities": [{"sentiment": "negative"}]}', "line 1: one of `entities` has no name"),
        ('{"text": "x", "entities": {"Acme": "positive"}}', "line 1: `entities` must be a list of objects"),
        ('{"text": "x", "entities": ["Acme"]}', "line 1: `entities` must be a list of objects"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(bundle: Bundle, tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(LabelledError, match=reason):
        read_labelled(file, bundle.manifest.heads)
    result = run("evaluate", "--bundle", bundle.folder, "--data", file)
    assert result.exit_code != 0
    assert "Traceback" not in result.output


def moved(count: int) -> list[dict[str, object]]:
    """Rows of a desk for whom what the bundle calls neutral is bad news already."""
    texts = {"a day {}": "negative", "good day {}": "positive", "bad day {}": "negative"}
    return [
        {"text": text.format(number), "sentiment": label}
        for number in range(count)
        for text, label in texts.items()
    ]


def test_a_bundle_is_fitted_to_a_desks_own_boundary(bundle: Bundle, tmp_path: Path) -> None:
    file = write(tmp_path / "desk.jsonl", *moved(20))
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", tmp_path / "fitted")
    assert result.exit_code == 0, result.output
    fitted = load_bundle(tmp_path / "fitted")
    assert fitted.hash != bundle.hash
    assert fitted.hash in result.output
    measured = fitted.manifest.metrics["calibration"]["heads"]["sentiment"]
    assert measured["before"]["accuracy"] == pytest.approx(2 / 3)
    assert measured["after"]["accuracy"] == 1.0
    assert fitted.manifest.head("sentiment").offsets[0] > fitted.manifest.head("sentiment").offsets[1]
    # No entity is labelled: the head over them moves with the texts'.
    assert fitted.manifest.head("entity_sentiment").offsets == fitted.manifest.head("sentiment").offsets
    assert "## Calibrated" in (fitted.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    again = run("evaluate", "--bundle", fitted.folder, "--data", file, "--json")
    assert json.loads(again.output)["heads"]["sentiment"]["all"]["accuracy"] == 1.0


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "audit"])
def test_the_bundle_that_the_settings_name_is_the_one_that_is_judged(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "desk.jsonl", {"text": "bad day", "sentiment": "negative"})
    monkeypatch.setenv("DOWNTICK_BUNDLE", str(tmp_path / "mine"))
    arguments = {
        "evaluate": ["--data", file],
        "calibrate": [file, "--out", tmp_path / "out"],
        "audit": [file],
    }
    result = run(command, *arguments[command])
    assert result.exit_code == 2
    assert str(tmp_path / "mine") in result.output


def test_a_place_that_no_bundle_can_be_written_to_is_named(bundle: Bundle, tmp_path: Path) -> None:
    file = write(tmp_path / "desk.jsonl", *moved(20))
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", file / "fitted")
    assert result.exit_code == 2
    assert f"cannot write to {file}: " in result.output


def test_a_bundle_that_one_works_in_is_replaced(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = make_tiny_bundle(tmp_path / "mine", ENTITY_HEADS)
    file = write(tmp_path / "desk.jsonl", *moved(20))
    monkeypatch.chdir(mine.folder)
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", ".")
    assert result.exit_code == 0, result.output
    assert load_bundle(mine.folder).hash != mine.hash
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "desk.jsonl"}


def test_too_few_rows_fit_nothing(bundle: Bundle, tmp_path: Path) -> None:
    file = write(tmp_path / "desk.jsonl", *moved(3))
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", tmp_path / "fitted")
    assert result.exit_code != 0
    assert "at least 20 texts that have a label, and two labels among them, are needed" in result.output
    assert "there are, of sentiment: 9 (rows: 6 negative, 3 positive);" in result.output
    assert not (tmp_path / "fitted").exists()


def test_rows_of_one_label_or_that_only_rule_one_out_fit_nothing_and_that_is_said(
    bundle: Bundle, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [
        {"text": f"bad {number}", "sentiment": "negative"} for number in range(40)
    ]
    rows += [{"text": f"day {number}", "negative": False} for number in range(30)]
    file = write(tmp_path / "desk.jsonl", *rows)
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", tmp_path / "fitted")
    assert result.exit_code != 0
    assert (
        "of sentiment: 40 (rows: 40 negative, and 30 rows that only rule labels out, such as `negative: false`)"
        in result.output
    )


def test_copies_of_a_text_do_not_make_up_for_other_texts(bundle: Bundle, tmp_path: Path) -> None:
    file = write(tmp_path / "desk.jsonl", *(moved(5) * 4))
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", tmp_path / "fitted")
    assert result.exit_code != 0
    assert "there are, of sentiment: 15 (rows: 40 negative, 20 positive)" in result.output


def test_the_head_that_moves_unmeasured_is_named(bundle: Bundle, tmp_path: Path) -> None:
    file = write(tmp_path / "desk.jsonl", *moved(20))
    result = run("calibrate", file, "--bundle", bundle.folder, "--out", tmp_path / "fitted")
    said = "entity_sentiment moves with sentiment, and too few rows measure what that brings"
    assert said in result.stderr
    assert said in (tmp_path / "fitted" / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_rows_that_say_nothing_are_counted(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"text": "bad day", "sentiment": "negative"}, {"text": "good day", "sentimnt": "positive"}]
    file = write(tmp_path / "desk.jsonl", *rows)
    result = run("evaluate", "--bundle", bundle.folder, "--data", file, "--json")
    assert result.stderr == "1 of 2 rows have no label and are left out\n"
    assert json.loads(result.stdout)["heads"]["sentiment"]["all"]["rows"] == 1


@pytest.mark.parametrize("head", ["sentiment", "stance"])
def test_rows_with_labels_that_the_bundle_does_not_know_are_refused(
    bundle: Bundle, tmp_path: Path, head: str
) -> None:
    target = Target(frozenset({"bearish"}), frozenset({"bearish", "bullish"}))
    write_rows(tmp_path / "test.jsonl", [Row("bad day", "desk", "en", {head: target})])
    result = run("evaluate", "--bundle", bundle.folder, "--data", tmp_path / "test.jsonl")
    assert result.exit_code == 2
    assert f"labels that the bundle does not know, of {head}: bearish, bullish; it knows," in result.output
    assert "of sentiment: negative, neutral, positive;" in result.output


def test_a_fit_by_which_fewer_labels_are_right_is_no_help_however_probable_they_are() -> None:
    before = {"accuracy": 0.82, "macro_f1": 0.72, "log_loss": 0.56}
    assert not Change("sentiment", 50, before, {"accuracy": 0.76, "macro_f1": 0.52, "log_loss": 0.52}).helps
    assert Change("sentiment", 50, before, {"accuracy": 0.80, "macro_f1": 0.74, "log_loss": 0.52}).helps
    assert not Change("sentiment", 50, before, {"accuracy": 0.84, "macro_f1": 0.74, "log_loss": 0.57}).helps


def test_a_fit_that_does_not_help_is_not_written_unless_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    # Labels as often as the bundle says that they are: 79 % neutral, or 87 % and 12 %.
    shares = {
        "a day": {"negative": 4, "neutral": 30, "positive": 4},
        "bad": {"negative": 52, "neutral": 7, "positive": 1},
        "good": {"negative": 1, "neutral": 7, "positive": 52},
    }
    rows = [
        {"text": f"{text} {label} {number}", "sentiment": label}
        for text, counts in shares.items()
        for label, count in counts.items()
        for number in range(count)
    ]
    file = write(tmp_path / "desk.jsonl", *rows)
    arguments = ("calibrate", file, "--bundle", bundle.folder, "--out", tmp_path / "fitted")
    result = run(*arguments)
    assert result.exit_code != 0
    assert "no bundle written: sentiment would be no better on rows that were not fitted to" in result.output
    assert not (tmp_path / "fitted").exists()
    assert run(*arguments, "--anyway").exit_code == 0
    assert (tmp_path / "fitted").exists()
