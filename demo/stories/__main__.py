"""Write the demo's stream: `python -m demo.stories --out demo/stream.jsonl`."""

from pathlib import Path

import click

from demo.stories.chronicle import tell


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    required=True,
    help="The JSONL file to write.",
)
def main(out: Path) -> None:
    """Write the demo's news and comments, one JSON object a line, in time order."""
    stories = tell()
    try:
        out.write_text("".join(story.line() for story in stories), encoding="utf-8", newline="\n")
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from error
    click.echo(f"{len(stories)} stories written to {out}")


if __name__ == "__main__":
    main()
