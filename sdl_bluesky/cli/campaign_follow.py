"""`sdl campaign follow`: a line for each decision and each result of a campaign, as they come."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import home_of, open_data
from sdl_bluesky.cli.terminal import say
from sdl_bluesky.errors import ServiceMissing

if TYPE_CHECKING:
    from sdl_bluesky.data.consumers.follow import News


def add(actions: Commands, find: Callable[[argparse.Namespace], None]) -> None:
    """Add the commands of this file; `find` looks for a campaign's data folder where none is given."""
    one = actions.add("follow", _follow, "tell decisions and results of a campaign as they come, until Ctrl-C")
    one.add_argument("uid", help="uid of the campaign, or its beginning")
    one.add_argument("--uri", help="address of the catalogue, instead of a lab's; its key in TILED_API_KEY")
    one.add_argument("--past", action="store_true", help="tell what there is, and end")
    one.set_defaults(find=find)


def _follow(options: argparse.Namespace) -> int:
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")  # read when tiled is imported: `follow` itself is patient
    from sdl_bluesky.data.campaigns import campaign_id
    from sdl_bluesky.data.consumers.follow import follow

    with _catalogue(options) as client:
        try:
            for news in follow(client, campaign_id(client, options.uid), wait=not options.past):
                say(line(news))
        except KeyboardInterrupt:
            say("no longer followed; the campaign goes on")
    return 0


@contextmanager
def _catalogue(options: argparse.Namespace) -> Iterator[Any]:
    """The catalogue at an address, or that of a lab: it must be running, since nothing new comes to one that is not."""
    from sdl_bluesky.data.catalogue import connect
    from sdl_bluesky.data.server import api_key

    if options.uri:
        yield connect(options.uri)
        return
    options.find(options)
    home = home_of(options)
    running = home.services()
    uri = running.tiled_uri if running is not None else home.load_lab(options.lab).catalogue.uri
    if uri != "auto":
        yield connect(uri, os.environ.get("TILED_API_KEY") or api_key(home.tiled))
    elif options.past:
        with open_data(options) as client:
            yield client
    else:
        raise ServiceMissing(
            f"nothing runs on {home.path}: start the lab (`sdl up`), name a catalogue (--uri), "
            "or ask for what there is (--past)"
        )


def line(news: News) -> str:
    """One line for a decision, a result or an end."""
    when, told = time.strftime("%H:%M:%S", time.localtime(news.time)), news.content
    if news.kind == "decision":
        inputs = told.get("inputs")
        where = "  ".join(f"{k} {_number(v)}" for k, v in inputs.items()) if isinstance(inputs, dict) else ""
        step = f"{told.get('step', '')!s:>3s}  {told.get('stage', ''):10s}"
        return f"{when}  decision  {step} {where}  {told.get('outcome', '')}".rstrip()
    if news.kind == "result":
        return f"{when}  result    {told.get('kind', ''):12s} {news.key}"
    return f"{when}  end       {told.get('exit_status', '')} {told.get('reason', '')}".rstrip()


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
