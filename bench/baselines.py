"""What users would pick instead of a fine-tuned model, on the same test rows.

    python -m bench.baselines --data-root DATA --encoder FOLDER

VADER (a lexicon, for English), TF-IDF of words and letters with logistic regression, the encoder as it is with
logistic regression on its mean vectors; then the bundles. The first two of a text's label: accuracy and macro-F1
by set. `pip install '.[cpu,training,bench]'` installs what it needs.

Source of the lexicon: Hutto and Gilbert 2014, VADER, with its authors' thresholds of 0.05.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from stream.bundle import load_bundle
from stream.engine.encoding import pad
from stream.evaluation.prediction import by_length, predict_rows
from stream.evaluation.rows import Row
from stream.evaluation.scores import Floats, masks, single_scores
from stream.labels import SENTIMENT_HEAD, SENTIMENTS
from stream.settings import EngineSettings
from training.configuration import Options, read_configuration, resolve_heads
from training.dataset import build_corpus
from training.encoding import encode_rows
from training.model import load_tokenizer

BATCH = 64


def lexicon(rows: Sequence[Row]) -> Floats:
    """VADER's compound score as logits; nan for texts that are not English."""
    analyser = SentimentIntensityAnalyzer()
    found = np.full((len(rows), len(SENTIMENTS)), np.nan)
    for index, row in enumerate(rows):
        if row.language == "en":
            score = analyser.polarity_scores(row.text)["compound"]
            label = "negative" if score <= -0.05 else "positive" if score >= 0.05 else "neutral"
            found[index] = [
                float(label == each) + (abs(score) if each != "neutral" else 0) * 1e-3 for each in SENTIMENTS
            ]
    return found


def bag_of_words(train: Sequence[Row], test: Sequence[Row], labels: NDArray[np.int64]) -> Floats:
    """TF-IDF of words and of groups of letters, which are the words of Chinese."""
    spaces = [
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), min_df=3, sublinear_tf=True, max_features=200_000
        ),
    ]
    texts, asked = [row.text for row in train], [row.text for row in test]
    features = hstack([space.fit_transform(texts) for space in spaces]).tocsr()
    model = LogisticRegression(max_iter=400, C=3.0).fit(features, labels)
    answers: Floats = model.predict_log_proba(hstack([space.transform(asked) for space in spaces]).tocsr())
    return answers


def frozen_encoder(
    encoder: str, train: Sequence[Row], test: Sequence[Row], labels: NDArray[np.int64], tokens: int
) -> Floats:
    """The mean vectors of the encoder as it was published."""
    model, tokenizer = AutoModel.from_pretrained(encoder).eval(), load_tokenizer(encoder)
    padding = model.config.pad_token_id or 0

    def vectors(rows: Sequence[Row]) -> Floats:
        encodings = encode_rows(tokenizer, rows, tokens)
        found = np.zeros((len(rows), model.config.hidden_size))
        with torch.inference_mode():
            for batch in by_length(encodings, BATCH):
                arrays = pad([encodings[index] for index in batch], padding)
                ids, mask = (torch.from_numpy(arrays[name]) for name in ("input_ids", "attention_mask"))
                states = model(input_ids=ids, attention_mask=mask)[0]
                weights = mask.unsqueeze(-1).to(states.dtype)
                found[batch] = ((states * weights).sum(1) / weights.sum(1)).float().numpy()
        return found

    known = vectors(train)
    mean, spread = known.mean(axis=0), known.std(axis=0)
    linear = LogisticRegression(max_iter=1000).fit((known - mean) / spread, labels)
    answers: Floats = linear.predict_log_proba((vectors(test) - mean) / spread)
    return answers


def fine_tuned(folder: Path, rows: Sequence[Row]) -> Floats:
    """A bundle's answers."""
    bundle = load_bundle(folder)
    head = bundle.manifest.head(SENTIMENT_HEAD)
    logits = predict_rows(bundle, EngineSettings(), rows)[SENTIMENT_HEAD]
    return head.scaled(logits)[:, [head.labels.index(label) for label in SENTIMENTS]]


def show(options: Options, encoder: str, bundles: Sequence[Path], limit: int) -> None:
    """Print a table of all, by set."""
    corpus = build_corpus(options, resolve_heads(options))
    test = [row for row in corpus.rows["test"] if SENTIMENT_HEAD in row.targets]
    train = [
        row
        for row in corpus.rows["train"]
        if SENTIMENT_HEAD in row.targets and len(row.targets[SENTIMENT_HEAD].allowed) == 1
    ][:limit]
    labels = np.array([SENTIMENTS.index(next(iter(row.targets[SENTIMENT_HEAD].allowed))) for row in train])
    print(f"{len(train):,} rows to train on, {len(test):,} to test")
    methods: dict[str, Callable[[], Floats]] = {
        "VADER": lambda: lexicon(test),
        "TF-IDF": lambda: bag_of_words(train, test, labels),
        "frozen encoder": lambda: frozen_encoder(encoder, train, test, labels, options.maximum_tokens),
        **{folder.name: (lambda folder=folder: fine_tuned(folder, test)) for folder in bundles},  # type: ignore[misc]
    }
    answers = {name: method() for name, method in methods.items()}
    allowed, possible = masks(test, SENTIMENT_HEAD, SENTIMENTS)
    sources = np.array([row.source for row in test])
    print("| set | rows | " + " | ".join(answers) + " |")
    print("| --- | --- |" + " --- |" * len(answers))
    for source in dict.fromkeys(sources.tolist()):
        cells = []
        count = 0
        for logits in answers.values():
            chosen = (sources == source) & ~np.isnan(logits).any(axis=1)
            found = single_scores(logits[chosen], allowed[chosen], possible[chosen], SENTIMENTS)
            count = max(count, found.get("rows", 0))
            cells.append(f"{found['accuracy']:.3f} / {found['macro_f1']:.3f}" if found else "")
        print(f"| {source} | {count:,} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("training/configs/default.yaml"))
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--encoder", required=True, help="the encoder before fine-tuning")
    parser.add_argument("--bundles", type=Path, nargs="*", default=[Path("bundles/default")])
    parser.add_argument("--limit", type=int, default=1_000_000, help="most rows to train on")
    arguments = parser.parse_args()
    overrides = {"data_root": arguments.data_root, "encoder": arguments.encoder}
    show(
        read_configuration(arguments.config, overrides),
        arguments.encoder,
        arguments.bundles,
        arguments.limit,
    )


if __name__ == "__main__":
    main()
