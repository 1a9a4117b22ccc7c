"""Convert, compare, and only then put a bundle in place.

Errors:
    ExportError     the bundle was not written; the message says why, and what would do
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from export.card import write_card
from export.conversion import convert, run_session, session
from export.parity import Parity, compare
from export.profile import LEAST_ROWS, training_profile
from stream.bundle import (
    CARD,
    FORMAT,
    MANIFEST,
    MODEL,
    TOKENIZER,
    Bundle,
    Head,
    Manifest,
    Precision,
    load_bundle,
    put_in_place,
    require_replaceable,
    write_manifest,
)
from stream.evaluation.labelled import LabelledError, read_labelled
from stream.evaluation.rows import Row
from training.encoding import encode_rows
from training.model import load_checkpoint
from training.prediction import predict
from training.resumption import HELD_OUT

BATCH_SIZE = 64


class ExportError(Exception):
    """No bundle was written, and one that was there before is untouched."""


def find_evaluation(checkpoint: Path) -> list[Path]:
    """The rows of the run that the checkpoint belongs to, which it was not trained on: test, then validation."""
    for folder in list(checkpoint.resolve().parents)[:2]:
        if (folder / HELD_OUT["test"]).is_file():
            files = [folder / HELD_OUT["test"], folder / HELD_OUT["valid"]]
            return [file for file in files if file.is_file() and file.stat().st_size]
    raise ExportError(
        f"no {HELD_OUT['test']} beside {checkpoint}; name a file of rows to judge by with --evaluation"
    )


def read_evaluation(files: Sequence[Path], heads: Sequence[Head], limit: int | None) -> list[Row]:
    """Rows to judge by, with labels or without, at most `limit`: by text hash, so that every run has the same.

    Of a further file only where those before it hold fewer than `LEAST_ROWS`.
    """
    rows: list[Row] = []
    try:
        for file in files:
            if len(rows) < LEAST_ROWS:
                rows += sorted(read_labelled(file, heads, bare=True), key=_hash)
    except LabelledError as error:
        raise ExportError(f"cannot evaluate: {error}; name other rows with --evaluation") from error
    if not rows:
        raise ExportError(
            "cannot evaluate: the run has neither test nor validation rows; "
            "name a file of rows to judge by with --evaluation"
        )
    return rows[:limit]


def _hash(row: Row) -> bytes:
    return sha256(row.text.encode("utf-8", "surrogatepass")).digest()


def export_bundle(
    checkpoint: Path,
    out: Path,
    precision: Precision,
    rows: list[Row],
    *,
    allowed_loss: float,
    minimum_agreement: float,
    notes: str = "",
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Bundle, Parity]:
    """Write the bundle to `out`, unless it lost more than allowed; raise `ExportError` then.

    In this order: convert, compare with the checkpoint on `rows`, write everything into a new
    folder beside `out`, verify it as a worker would, move it into place.
    """
    require_replaceable(out)
    model, tokenizer, description = load_checkpoint(checkpoint)
    source = load_bundle(checkpoint).manifest if (checkpoint / MANIFEST).is_file() else None
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        staging.chmod(0o755)
        report(f"converting to {precision}")
        convert(model, description.maximum_tokens, precision, staging / MODEL)
        few = len(rows) < LEAST_ROWS
        report(
            f"comparing on {len(rows):,} texts"
            + ("; with --evaluation more could be compared" if few else "")
        )
        heads = description.heads
        encodings = encode_rows(tokenizer, rows, description.maximum_tokens, description.reading)
        before = predict(model, heads, encodings, description.padding_id, BATCH_SIZE)
        exported = session(staging / MODEL)
        after = run_session(exported, heads, encodings, description.padding_id, BATCH_SIZE)
        parity = compare(heads, before, after, rows)
        refusals = parity.refusals(allowed_loss, minimum_agreement)
        if refusals:
            raise ExportError(
                f"no bundle written, {precision} loses too much:\n"
                + "\n".join(f"  {reason}" for reason in refusals)
                + "\nexport with another --precision, or allow more with --allowed-loss and "
                "--minimum-agreement"
            )
        # A bundle's own was made of more rows than those that it is now compared on.
        kept = description.profile if source else {}
        profile = kept or training_profile(description, tokenizer, rows, encodings, after)
        manifest = Manifest(
            format=FORMAT,
            name=description.name,
            created=datetime.now(UTC).replace(microsecond=0),
            precision=precision,
            maximum_tokens=description.maximum_tokens,
            padding_id=description.padding_id,
            encoder=description.encoder,
            encoder_configuration=description.encoder_configuration,
            languages=description.languages,
            pseudonyms=description.pseudonyms,
            compares_figures=description.compares_figures,
            heads=heads,
            data=description.data,
            metrics={
                **(source.metrics if source else {}),
                "checkpoint": description.metrics,
                "export": parity.model_dump(),
            },
            profile=profile or description.profile,
            files={},
        )
        tokenizer.save(str(staging / TOKENIZER))
        (staging / CARD).write_text(write_card(manifest, parity, notes, source), encoding="utf-8")
        write_manifest(staging, manifest)
        bundle = put_in_place(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return bundle, parity
