"""`sdl data`: keys for consumers of the catalogue."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.labs import open_data
from sdl_bluesky.cli.terminal import say, warn

if TYPE_CHECKING:
    from sdl_bluesky.data.consumers.keys import Key


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    actions = commands.group("data", "keys for consumers of the catalogue: they read, and they end")
    make = actions.add("key", _make, "make a key that reads and can do nothing else; prints it, this once")
    make.add_argument("--expires", default="7d", metavar="TIME", help="how long it lives: 30m, 12h, 7d, 4w (7d)")
    make.add_argument(
        "--container", action="append", default=[], metavar="NAME", help="opens this container only (may be repeated)"
    )
    make.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="opens what carries this tag only: a proposal, a sample, a campaign (may be repeated)",
    )
    make.add_argument("--note", default="", help="for whom or for what it is")
    show = actions.add("keys", _show, "keys that are let in: beginning, end, what they open, last use, note")
    revoke = actions.add("revoke", _revoke, "let a key in no more")
    revoke.add_argument("name", help="its first eight digits")
    for one in (make, show, revoke):
        one.add_argument("--uri", help="address of the catalogue, instead of a lab's; your key in TILED_API_KEY")


@contextmanager
def _catalogue(options: argparse.Namespace) -> Iterator[Any]:
    from sdl_bluesky.data.catalogue import connect

    if options.uri:
        yield connect(options.uri)
        return
    with open_data(options) as client:
        yield client


def _make(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.consumers.keys import duration_s, make_key

    expires_s = duration_s(options.expires)
    with _catalogue(options) as client:
        limits = {"containers": options.container, "tags": options.tag}
        key = make_key(client, expires_s=expires_s, note=options.note, **limits)
    warn(f"key {key.name} reads {opens(key)} until {_when(key.ends)}; it is shown this once:")
    say(key.secret)
    return 0


def _show(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.consumers.keys import list_keys

    with _catalogue(options) as client:
        for key in list_keys(client):
            may = "reads" if key.reads_only else "writes"
            what = f"{may} {opens(key)}"
            say(f"{key.name}  {_when(key.ends):16s}  {what:24s}  {_when(key.used):16s}  {key.note}".rstrip())
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.consumers.keys import revoke_key

    with _catalogue(options) as client:
        key = revoke_key(client, options.name)
    say(f"key {key.name} is let in no more" + (f" ({key.note})" if key.note else ""))
    return 0


def opens(key: Key) -> str:
    """What a key opens, in words."""
    where = "everything" if key.containers is None else ", ".join(key.containers)
    return f"{where} of {', '.join(key.tags)}" if key.tags else where


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")
