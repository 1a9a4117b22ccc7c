"""The configuration over public sets that users begin with."""

from pathlib import Path

from tiny_run import write_jsonl

from training.configuration import read_configuration, resolve_heads
from training.dataset import build_corpus


def test_the_open_configuration_reads_the_sets_as_they_are_published(tmp_path: Path) -> None:
    for name, label in (("sent_train", 1), ("sent_valid", 0)):
        (tmp_path / "twitter_financial_sentiment").mkdir(exist_ok=True)
        file = tmp_path / "twitter_financial_sentiment" / f"{name}.csv"
        file.write_text(f"text,label\n{name} one,{label}\n{name} two,2\n", encoding="utf-8")
    for name, label in (("topic_train", 5), ("topic_valid", 17)):
        (tmp_path / "twitter_financial_topic").mkdir(exist_ok=True)
        file = tmp_path / "twitter_financial_topic" / f"{name}.csv"
        file.write_text(f"text,label\n{name},{label}\n", encoding="utf-8")
    for name in ("sentfin", "finentity"):
        record = {"text": f"Acme rises, says {name}", "entities": [{"name": "Acme", "sentiment": "positive"}]}
        write_jsonl(tmp_path / name / "train.jsonl", [record])
    configs = Path(__file__).parents[2] / "training" / "configs"
    changes = {"data_root": str(tmp_path), "splits": str(tmp_path / "splits.tsv"), "test_share": 0.01}
    options = read_configuration(configs / "open.yaml", changes)
    corpus = build_corpus(options, resolve_heads(options))
    said = {
        row.text: {label for target in row.targets.values() for label in target.allowed}
        for rows in corpus.rows.values()
        for row in rows
    }
    assert said["sent_train one"] == {"positive"}
    assert said["sent_valid one"] == {"negative"}
    assert said["sent_valid two"] == {"neutral"}
    assert said["topic_train"] == {"earnings"}
    assert said["topic_valid"] == {"people"}
    assert {"Acme rises, says sentfin", "Acme rises, says finentity"} <= set(said)
