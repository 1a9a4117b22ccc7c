"""The report of a run: `report.json` with every figure, `report.html` with pictures.

The page is one file: pictures are SVG inside it, and it needs neither scripts nor the network.
"""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stream.bundle import Head
from stream.evaluation.prediction import Logits
from stream.evaluation.rows import Row
from stream.evaluation.scores import masks, softmax
from training.dataset import Corpus
from training.model import Description

REPORT = "report.json"
PAGE = "report.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2430; }
h1, h2, h3 { line-height: 1.2; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d5dae1; text-align: right; }
th:first-child, td:first-child, td.text { text-align: left; }
td.text { max-width: 34rem; overflow-wrap: anywhere; }
img { max-width: 100%; }
.note { color: #566070; }
"""
COLUMNS = {
    "rows": "rows",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "polarity_accuracy": "polarity accuracy",
    "auc": "AUC of negative",
    "recall_at_precision": "recall of negative at precision 0.8",
    "calibration_error_without_temperature": "ECE before",
    "calibration_error": "ECE after temperature",
}


def mistakes(head: Head, logits: Logits, rows: Sequence[Row], per_set: int = 5) -> list[dict[str, Any]]:
    """The most confident wrong answers of a single-label head, `per_set` of each set.

    Where the model is sure and a label says otherwise, one of the two deserves a look.
    """
    allowed, possible = masks(rows, head.name, head.labels)
    scaled = head.scaled(logits[head.name])
    known = possible.any(axis=1)
    probabilities = np.zeros_like(scaled)
    probabilities[known] = softmax(np.where(possible[known], scaled[known], -np.inf))
    best = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(known & ~allowed[np.arange(len(rows)), best])
    found: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for index in wrong[np.argsort(-probabilities[wrong, best[wrong]], kind="stable")]:
        row = rows[index]
        if taken.get(row.source, 0) < per_set:
            taken[row.source] = taken.get(row.source, 0) + 1
            found.append(
                {
                    "set": row.source,
                    "text": row.text[:300],
                    "label": sorted(row.targets[head.name].allowed),
                    "answer": head.labels[best[index]],
                    "probability": round(float(probabilities[index, best[index]]), 4),
                }
            )
    return sorted(found, key=lambda item: item["set"])


def write_report(
    output: Path,
    description: Description,
    *,
    summary: dict[str, Any],
    corpus: Corpus,
    wrong: dict[str, list[dict[str, Any]]],
    history: list[dict[str, Any]],
) -> None:
    """Write `report.json` and `report.html` into `output`."""
    report = {
        "name": description.name,
        "encoder": description.encoder,
        "data": description.data,
        "rows": {split: len(rows) for split, rows in corpus.rows.items()},
        "heads": [head.model_dump() for head in description.heads],
        "scores": summary,
        "mistakes": wrong,
        "history": history,
    }
    (output / REPORT).write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (output / PAGE).write_text(_page(report, description.heads), encoding="utf-8")


def _page(report: dict[str, Any], heads: Sequence[Head]) -> str:
    rows = report["rows"]
    counts = (
        f"{rows['train']:,} rows to train on, {rows['valid']:,} to tune temperatures and thresholds, "
        f"{rows['test']:,} to judge by"
    )
    parts = [
        f"<h1>{escape(report['name'])}</h1>",
        f"<p>Encoder {escape(report['encoder'])}; {counts}.</p>",
        _table(
            ["set", "rows", "licence"],
            ([item["name"], f"{item['rows']:,}", item["licence"]] for item in report["data"]),
        ),
        _history(report["history"]),
    ]
    for head in heads:
        parts += _head_section(head, report["scores"][head.name])
        if report["mistakes"].get(head.name):
            parts += [
                "<h3>Most confident mistakes</h3>",
                _table(
                    ["set", "text", "label", "answer", "probability"],
                    (
                        [
                            item["set"],
                            item["text"],
                            " or ".join(item["label"]),
                            item["answer"],
                            f"{item['probability']:.2f}",
                        ]
                        for item in report["mistakes"][head.name]
                    ),
                    text_column=1,
                ),
            ]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(report['name'])}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _head_section(head: Head, scores: dict[str, Any]) -> list[str]:
    groups = {"all": scores["all"], **scores["by_language"], **scores["by_set"]}
    groups = {name: found for name, found in groups.items() if found}
    parts = [f"<h2>{escape(head.name)}</h2>"]
    if not groups:
        return [*parts, "<p>No test row has a label of this head.</p>"]
    columns = [name for name in COLUMNS if any(name in found for found in groups.values())]
    parts.append(
        _table(
            ["", *(COLUMNS[name] for name in columns)],
            ([name, *(_cell(found.get(column)) for column in columns)] for name, found in groups.items()),
        )
    )
    parts.append(
        '<p class="note">A set that knows no neutral is judged between the labels that it knows. '
        "ECE is the expected calibration error.</p>"
    )
    labels = scores["all"].get("labels", {})
    parts.append(
        _table(
            ["label", "rows", "precision", "recall", "F1"],
            (
                [name, *(_cell(found[key]) for key in ("rows", "precision", "recall", "f1"))]
                for name, found in labels.items()
            ),
        )
    )
    if labels:
        parts.append(_bars({name: found["f1"] for name, found in labels.items()}, "F1 by label"))
    by_set = {name: found["macro_f1"] for name, found in scores["by_set"].items() if "macro_f1" in found}
    if by_set:
        parts.append(_bars(by_set, "macro-F1 by set"))
    parts += [
        _confusion(found["confusion"], head.labels, name)
        for name, found in {"all": scores["all"], **scores["by_language"]}.items()
        if "confusion" in found
    ]
    if "reliability" in scores["all"]:
        parts.append(_reliability(scores["all"]["reliability"]))
    return parts


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], text_column: int | None = None) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{' class=text' if index == text_column else ''}>{escape(str(cell))}</td>"
            for index, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _picture(figure: Figure, description: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<p><img alt="{escape(description)}" src="data:image/png;base64,{data}"></p>'


def _history(history: Sequence[dict[str, Any]]) -> str:
    loss = [(item["step"], item["loss"]) for item in history if "loss" in item]
    valid = [(item["step"], item["eval_macro_f1"]) for item in history if "eval_macro_f1" in item]
    figure = Figure(figsize=(9, 3))
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*loss, strict=True) if loss else ([], []), color="#3465a4")
    left.set(title="training loss", xlabel="update")
    right.plot(*zip(*valid, strict=True) if valid else ([], []), color="#4e9a06", marker="o")
    right.set(title="macro-F1 on validation rows", xlabel="update")
    return _picture(figure, "training loss and validation macro-F1 by update")


def _bars(values: dict[str, float], title: str) -> str:
    figure = Figure(figsize=(7, 0.6 + 0.3 * len(values)))
    axes = figure.subplots()
    names = list(values)[::-1]
    axes.barh(names, [values[name] for name in names], color="#3465a4")
    axes.set(xlim=(0, 1), title=title)
    for place, name in enumerate(names):
        axes.text(values[name] + 0.01, place, f"{values[name]:.2f}", va="center")
    return _picture(figure, title)


def _confusion(counts: list[list[int]], labels: Sequence[str], group: str) -> str:
    table = np.array(counts)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.8 * len(labels)
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    axes.set(
        xticks=places,
        yticks=places,
        xticklabels=labels,
        yticklabels=labels,
        xlabel="answer",
        ylabel="label",
        title=f"confusion, {group}",
    )
    for row in places:
        for column in places:
            axes.text(
                column,
                row,
                f"{table[row, column]:,}\n{share[row, column]:.0%}",
                ha="center",
                va="center",
                color="white" if share[row, column] > 0.5 else "black",
            )
    return _picture(figure, f"confusion matrix, {group}")


def _reliability(bins: Sequence[dict[str, float]]) -> str:
    figure = Figure(figsize=(4, 4))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    axes.plot(
        [item["confidence"] for item in bins],
        [item["accuracy"] for item in bins],
        marker="o",
        color="#cc0000",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="reliability")
    return _picture(figure, "accuracy by confidence, after the temperature")
