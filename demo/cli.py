"""`downtick demo`: a stream through a real broker and real workers, shown live."""

import asyncio
import os
import sys
from pathlib import Path

import click

from stream.command import reports_errors


@click.command()
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your own events: JSONL or CSV with time, text and optionally ticker. Default: the stream that ships.",
)
@click.option(
    "--speed",
    help="A multiple of real speed such as 600x, or max. Default: one at which it takes about 80 seconds.",
)
@click.option(
    "--workers", type=click.IntRange(1, 16), help="Worker processes. Default: 2 where there is room."
)
@click.option(
    "--watchlist",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Companies to find in the texts (YAML). Default: those of the stream that ships, none with --file.",
)
@click.option("--keep", is_flag=True, help="Leave broker and workers running afterwards, until Ctrl-C.")
@reports_errors
def demo(
    file: Path | None, speed: str | None, workers: int | None, watchlist: Path | None, keep: bool
) -> None:
    """Replay a stream through an embedded broker and real workers, and show it live.

    Needs nothing but what is installed. Of your settings it takes DOWNTICK_BUNDLE, DOWNTICK_ENGINE__* and
    DOWNTICK_SPIKES__*; broker, ports and files are its own, and are gone afterwards. Where the workers
    cannot keep up with the speed, the replay waits for them.
    """
    from rich.console import Console

    from demo.lines import Lines
    from demo.picture import Picture, names_of
    from demo.processes import ProcessError, demo_variables, set_environment, worker_count
    from demo.progress import Progress
    from demo.run import FAILED, Demo
    from demo.scene import Presenter, Scene
    from demo.source import open_source
    from demo.view import View
    from stream.broker import free_port
    from stream.bundle import default_bundle, load_bundle
    from stream.settings import load_settings

    console = Console(highlight=False)
    source = open_source(file, speed, watchlist)
    count = workers or worker_count()
    set_environment(
        demo_variables(
            os.environ,
            broker=f"127.0.0.1:{free_port()}",
            workers=count,
            bundle=Path(os.environ.get("DOWNTICK_BUNDLE") or default_bundle()),
            watchlist=source.watchlist_file,
        )
    )
    settings = load_settings()
    scene = Scene(
        source=source,
        settings=settings,
        bundle=load_bundle(settings.bundle),
        workers=count,
        progress=Progress(len(source.items)),
        picture=Picture(names_of(source.watchlist)),
    )
    live = console.is_terminal and not console.is_dumb_terminal
    presenter: Presenter = View(scene, console) if live else Lines(scene, console)
    presenter.step(source.description)
    try:
        status = asyncio.run(Demo(scene, presenter, console, keep=keep).run())
    except ProcessError as error:
        click.echo(f"downtick: {error}", err=True)
        status = FAILED
    sys.exit(status)
