"""`sdl campaign export` and `sdl campaign import`: a campaign as one file that other programs read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.terminal import say, warn

Find = Callable[[argparse.Namespace], None]


def add(actions: Commands, find: Find) -> None:
    """Add the commands of this file.

    Args:
        actions: the group `sdl campaign`.
        find: looks for the data folder of a campaign, see `cli.campaign`.
    """
    export = actions.add(
        "export", _export, "write a campaign as one HDF5 file by the rules of NeXus, and tables as CSV"
    )
    export.add_argument("uid", help="uid of the campaign, or its beginning")
    export.add_argument("--out", type=Path, required=True, help="the file, such as campaign.h5; it must not exist")
    export.add_argument("--log", type=Path, help="folder of the log that has the campaign (default: the data folder's)")
    export.add_argument("--no-csv", action="store_true", help="no folder NAME-csv with tables beside the file")
    export.set_defaults(find=find)
    bring = actions.add("import", _import, "bring an exported campaign into the catalogue; changes nothing twice")
    bring.add_argument("file", type=Path)


def _export(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.bundles import export_campaign

    options.find(options)
    bundle, paths = export_campaign(
        options.uid, options.out, options.lab, options.home, log_dir=options.log, csv=not options.no_csv
    )
    for finding in bundle.findings:
        warn(f"note: {finding}")
    say(f"campaign {bundle.campaign}: {len(bundle.runs)} runs, {len(bundle.results)} results")
    for path in paths:
        say(f"written {path}")
    return 0


def _import(options: argparse.Namespace) -> int:
    from sdl_bluesky.session.bundles import import_campaign

    bundle, done = import_campaign(options.file, options.lab, options.home)
    say(f"campaign {bundle.campaign}: {done}")
    return 0
