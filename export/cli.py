"""`downtick export`: turn a checkpoint into a bundle that the stream can run."""

from pathlib import Path
from typing import get_args

import click

from stream.bundle import Bundle, BundleError, Precision, load_bundle
from stream.engine.errors import EngineError
from stream.evaluation.rows import Row


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the bundle; one that is there is replaced.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="int8",
    show_default=True,
    help="int8 for CPUs, fp16 for NVIDIA GPUs, fp32 to compare with.",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Texts to compare on, best with labels, as for `downtick evaluate`; default: the training's test.jsonl, "
    "with valid.jsonl if it has few. --compare is fair only on texts from which neither bundle learnt.",
)
@click.option(
    "--evaluation-rows",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="How many of them.",
)
@click.option(
    "--allowed-loss",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="Macro-F1 that a head may lose; no bundle is written that loses more.",
)
@click.option(
    "--minimum-agreement",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="Share of texts that must get the same label as from the checkpoint.",
)
@click.option(
    "--compare",
    "in_use",
    type=click.Path(path_type=Path, file_okay=False),
    help="The bundle in use: say whether the new one should take its place.",
)
@click.option(
    "--notes",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Markdown to put into the card, under its weaknesses.",
)
def export(
    *,
    checkpoint: Path,
    out: Path,
    precision: Precision,
    evaluation: Path | None,
    evaluation_rows: int,
    allowed_loss: float,
    minimum_agreement: float,
    in_use: Path | None,
    notes: Path | None,
) -> None:
    """Turn a checkpoint into a model bundle.

    CHECKPOINT is a folder that `downtick train` wrote, such as runs/NAME/model; or a bundle, to be had in another
    precision.
    """
    try:
        from export import writing
    except ImportError as error:
        raise click.ClickException(
            f"exporting needs more packages ({error.name} is missing): "
            "run pip install '.[training]' in Downtick's folder"
        ) from error
    from training.model import CheckpointError, read_description

    out = out.absolute()
    try:
        present = load_bundle(in_use) if in_use else None
        if in_use and in_use.resolve() == out.resolve():
            raise click.UsageError(
                "--compare names the bundle that --out would replace; write to another folder"
            )
        heads = read_description(checkpoint).heads
        files = [evaluation] if evaluation else writing.find_evaluation(checkpoint)
        rows = writing.read_evaluation(files, heads, evaluation_rows)
        bundle, parity = writing.export_bundle(
            checkpoint,
            out,
            precision,
            rows,
            allowed_loss=allowed_loss,
            minimum_agreement=minimum_agreement,
            notes=_read_notes(notes) if notes else "",
            report=lambda line: click.echo(line, err=True),
        )
    except (writing.ExportError, CheckpointError, BundleError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"cannot use {error.filename or out}: {error.strerror or error}; see to it, or name another place"
        ) from error
    for name, head in parity.heads.items():
        f1 = (
            f", macro-F1 {head.macro_f1_before:.4f} → {head.macro_f1_after:.4f}"
            if head.macro_f1_before is not None and head.macro_f1_after is not None
            else ""
        )
        click.echo(
            f"{name}: {head.agreement:.2%} of labels agree, "
            f"largest difference {head.largest_difference:.3f}{f1}"
        )
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    click.echo(f"bundle {bundle.hash}: {out} ({size:.1f} MB)")
    if present is not None:
        _compare(present, bundle, rows)


def _read_notes(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"--notes: {path} is not UTF-8: {error}") from error


def _compare(in_use: Bundle, new: Bundle, rows: list[Row]) -> None:
    from export.comparison import advice, compare_bundles, lost_heads, uncompared_heads

    try:
        # The new one was fitted to validation rows.
        differences = compare_bundles(in_use, new, [row for row in rows if row.split != "valid"])
    except (EngineError, BundleError) as error:
        raise click.ClickException(f"the bundle is written, but cannot be compared: {error}") from error
    for one in differences:
        click.echo(
            f"{one.head}: macro-F1 {one.in_use:.4f} in use, {one.new:.4f} new, "
            f"difference {one.low:+.4f} to {one.high:+.4f} ({one.rows:,} rows)"
        )
    lost = lost_heads(in_use, new)
    click.echo(advice(differences, lost, uncompared_heads(in_use, differences, lost)))
