"""`downtick explain`: the words behind a judgement."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from stream.bundle import Bundle, load_bundle
from stream.command import UsageError, bundle_option, config_option, reports_errors
from stream.engine.engine import Engine
from stream.engine.judgement import Question
from stream.engine.passages import passages
from stream.engine.tokens import BundleTokenizer
from stream.explanation.occlusion import Explanation, explain
from stream.explanation.words import words
from stream.labels import SENTIMENT_HEAD, SENTIMENTS
from stream.records import Mention
from stream.settings import load_settings
from stream.text import normalise
from stream.watchlist import Watchlist, load_watchlist, subject_of

# A word is coloured once it moves the probability by so much, and fully at four times that.
_VISIBLE = 0.02


@click.command("explain")
@click.argument("text")
@bundle_option
@click.option(
    "--entity", help="Explain the sentiment towards this company: as the text names it, or its ticker."
)
@click.option(
    "--label", type=click.Choice(SENTIMENTS), help="Explain this one. Default: what the model says."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
@reports_errors
def command(
    text: str,
    *,
    bundle: Path | None,
    entity: str | None,
    label: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Say which words of TEXT drive its sentiment: each is left out in turn, and the model asked again."""
    settings = load_settings(config)
    loaded = load_bundle(bundle or settings.bundle)
    loaded.manifest.head(SENTIMENT_HEAD)  # refused here where it has none
    watchlist = load_watchlist(settings.watchlist) if settings.watchlist else Watchlist([])
    normal = normalise(text)
    if not normal:
        raise UsageError("the text is empty")
    others = {subject_of(mention): mention for mention in watchlist.find(normal)}
    asked: tuple[str, ...] = ()
    if entity:
        company = watchlist.resolve(Mention.model_construct(name=entity))
        if company.ticker is None:
            company = watchlist.resolve(Mention.model_construct(name=entity, ticker=entity))
        if company.ticker not in watchlist.tickers:
            company = Mention.model_construct(name=entity)
        others.pop(subject_of(company), None)
        asked = watchlist.names_of(company)
        normal = _read_for(normal, asked, loaded, settings.engine.passages)
    engine = Engine(loaded, settings.engine)
    engine.load()
    try:
        found = words(normal, BundleTokenizer(loaded).offsets(normal))
        explanation = explain(
            normal,
            found,
            engine.judge,
            entity=asked,
            others=[watchlist.names_of(other) for other in others.values()],
            label=label,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    finally:
        engine.close()
    if as_json:
        click.echo(json.dumps({"text": normal, **_plain(explanation)}, ensure_ascii=False))
    else:
        _show(normal, explanation)


def _read_for(text: str, names: tuple[str, ...], bundle: Bundle, most: int) -> str:
    """What the model reads of a text for a company: the passage that names it, where it is named late."""
    if all(head.scope == "text" for head in bundle.manifest.heads):
        return text
    question = Question(text, (names,))
    (encoding,) = BundleTokenizer(bundle).encode([question])
    late = passages(question, encoding, bundle.manifest.maximum_tokens, most)
    return late[0][0].text if late else text


def _plain(explanation: Explanation) -> dict[str, object]:
    return {
        "label": explanation.label,
        "probabilities": explanation.probabilities,
        "words": [
            {"word": one.word, "start": one.start, "influence": one.change} for one in explanation.influences
        ],
    }


def _show(text: str, explanation: Explanation) -> None:
    console = Console()
    shown = Text(text)
    for one in explanation.influences:
        if abs(one.change) >= _VISIBLE:
            strong = "bold " if abs(one.change) >= 4 * _VISIBLE else ""
            colour = "red" if one.change > 0 else "blue"
            shown.stylize(strong + colour, one.start, one.start + len(one.word))
    console.print(shown)
    shares = ", ".join(f"{label} {share:.2f}" for label, share in explanation.probabilities.items())
    console.print(f"{explanation.label}: {shares}", style="bold", highlight=False)
    for one in sorted(explanation.influences, key=lambda each: -abs(each.change))[:10]:
        if abs(one.change) >= _VISIBLE:
            speaks = "for" if one.change > 0 else "against"
            console.print(
                f"  {one.change:+.2f}  {one.word}  ({speaks} {explanation.label})",
                highlight=False,
                markup=False,
            )
