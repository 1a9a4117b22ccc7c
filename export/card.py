"""The model card: only what the checkpoint and the export measured, and notes by its maker."""

from typing import Any

from export.parity import Parity
from stream.bundle import Head, Manifest

UNFIT = """\
- Advice to buy or sell, or trading without a person: it reads tone, it does not know prices.
- Judging people, or deciding on their credit, insurance or employment.
- A verdict on one text. It is made for counting over many, where its errors average out.
- Other languages than those named above, legal or medical texts, whole reports: longer texts
  are cut."""


def write_card(manifest: Manifest, parity: Parity, notes: str, source: Manifest | None = None) -> str:
    """The card's Markdown; `source` is the bundle that was exported anew, where it was no checkpoint."""
    heads = "\n".join(_describe(head) for head in manifest.heads)
    sets = "\n".join(f"| {data['name']} | {data['rows']:,} | {data['licence']} |" for data in manifest.data)
    sections = [
        f"# {manifest.name}",
        _facts(manifest),
        heads,
        "## Trained on",
        f"| set | rows | licence of the data |\n| --- | ---: | --- |\n{sets}" if sets else "Not stated.",
        "A set without a stated licence gives no permission by itself: whoever ships a model "
        "trained on it has to judge that."
        if any("not stated" in str(data["licence"]) for data in manifest.data)
        else "",
        "## Scores",
        *_scores(manifest, source),
        *_calibration(manifest),
        "## What the export cost",
        _cost(parity, manifest, source),
        "## Where it is weak",
        *_weakest(manifest),
        notes.strip(),
        "## Not for",
        UNFIT,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(manifest: Manifest) -> str:
    languages = ", ".join(manifest.languages) or "not stated"
    return (
        f"Encoder: {manifest.encoder}. Languages: {languages}. Precision: {manifest.precision}. "
        f"Texts are cut to {manifest.maximum_tokens} tokens." + _read(manifest)
    )


def _read(manifest: Manifest) -> str:
    said = ""
    if manifest.pseudonyms:
        names = ", ".join(manifest.pseudonyms.latin + manifest.pseudonyms.chinese)
        said += f" The companies that a text is asked about are renamed before it is read: {names}."
    if manifest.compares_figures:
        said += " Of figures that a text compares, such as `EPS $0.42, $0.50 expected`, it reads which is greater."
    return said


def _describe(head: Head) -> str:
    rule = "one of" if head.kind == "single" else "any of"
    return f"- `{head.name}`: {rule} {', '.join(head.labels)}"


def _scores(manifest: Manifest, source: Manifest | None) -> list[str]:
    figures: dict[str, Any] = manifest.metrics.get("checkpoint", {})
    if not figures:
        return [
            "Not measured: no test row has a label, or this checkpoint was taken before its run had ended."
        ]
    checkpoint = "before the export" if source is None else "that it was first exported from"
    origin = (
        f"The checkpoint {checkpoint}, on test rows whose labels it did not learn; "
        "`downtick train` writes these figures, and more, into its report."
    )
    parts = [origin]
    for head, groups in figures.items():
        columns = ["rows", "macro_f1", "accuracy", "auc", "recall_at_precision"]
        shown = [name for name in columns if any(name in found for found in groups.values())]
        names = {
            "macro_f1": "macro-F1",
            "auc": "AUC of negative",
            "recall_at_precision": "recall of negative at precision 0.8",
        }
        lines = [
            f"| {head} | " + " | ".join(names.get(name, name) for name in shown) + " |",
            "| --- |" + " ---: |" * len(shown),
        ]
        for group, found in groups.items():
            cells = [
                "" if name not in found else f"{found[name]:,}" if name == "rows" else f"{found[name]:.3f}"
                for name in shown
            ]
            lines.append(f"| {group} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
        labels = groups.get("all", {}).get("labels", {})
        if labels:
            rows = "\n".join(
                f"| {label} | {found['rows']:,} | {found['precision']:.3f} | "
                f"{found['recall']:.3f} | {found['f1']:.3f} |"
                for label, found in labels.items()
            )
            parts.append(
                f"| {head}: label | rows | precision | recall | F1 |\n"
                f"| --- | ---: | ---: | ---: | ---: |\n{rows}"
            )
    silent = [f"`{head.name}`" for head in manifest.heads if head.name not in figures]
    if silent:
        parts.append(f"Not measured, since no test row has a label of theirs: {', '.join(silent)}.")
    return parts


def _calibration(manifest: Manifest) -> list[str]:
    """What a calibration has brought, which the scores know nothing of."""
    found: dict[str, Any] = manifest.metrics.get("calibration", {})
    if not found:
        return []
    rows = "\n".join(
        f"| {head} | "
        + " | ".join(
            f"{measured['before'][name]:.3f} → {measured['after'][name]:.3f}"
            for name in ("accuracy", "macro_f1", "log_loss")
        )
        + " |"
        for head, measured in found["heads"].items()
    )
    return [
        "## Calibrated",
        (
            f"Temperature and offsets were fitted to labelled rows, from bundle {found['from']}, which the scores "
            "above are without. By cross-validation:"
        ),
        f"| head | accuracy | macro-F1 | log loss |\n| --- | ---: | ---: | ---: |\n{rows}",
    ]


def _cost(parity: Parity, manifest: Manifest, source: Manifest | None) -> str:
    against = "the checkpoint" if source is None else f"a bundle in {source.precision} that was read back"
    origin = (
        f"Measured by `downtick export` on {parity.rows:,} texts, against {against} in "
        "32-bit floating point, on a CPU."
    )
    lines = [
        origin,
        "",
        "| head | labels that agree | largest difference of a logit | macro-F1 before | after |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, head in parity.heads.items():
        f1 = [
            "" if value is None else f"{value:.4f}" for value in (head.macro_f1_before, head.macro_f1_after)
        ]
        lines.append(f"| {name} | {head.agreement:.2%} | {head.largest_difference:.3f} | {f1[0]} | {f1[1]} |")
    if manifest.precision == "fp16":
        lines += ["", "It is meant for a GPU, on which this command did not run it."]
    return "\n".join(lines)


def _weakest(manifest: Manifest) -> list[str]:
    """The labels and sets with the lowest figures, so that nobody has to search the tables."""
    lines = []
    for head, groups in manifest.metrics.get("checkpoint", {}).items():
        labels = groups.get("all", {}).get("labels", {})
        judged = [label for label in labels if labels[label]["rows"]]
        worst = sorted(judged, key=lambda label: labels[label]["f1"])[:3]
        if worst:
            named = ", ".join(f"{label} ({labels[label]['f1']:.2f})" for label in worst)
            lines.append(f"- `{head}`: lowest F1 by label: {named}")
        sets = {
            name.removeprefix("set "): found["macro_f1"]
            for name, found in groups.items()
            if name.startswith("set ") and "macro_f1" in found
        }
        if len(sets) > 1:
            named = ", ".join(f"{name} ({sets[name]:.2f})" for name in sorted(sets, key=sets.__getitem__)[:3])
            lines.append(f"- `{head}`: lowest macro-F1 by set: {named}")
    return ["\n".join(lines)] if lines else []
