"""Campaigns out of a data folder as one file, and into another one."""

from __future__ import annotations

from pathlib import Path

from sdl_bluesky.data.campaigns import campaign_id
from sdl_bluesky.data.export.collect import collect_bundle
from sdl_bluesky.data.export.output import require_new
from sdl_bluesky.data.export.read import read_bundle
from sdl_bluesky.data.export.restore import Restored, restore
from sdl_bluesky.data.export.runs import Bundle
from sdl_bluesky.data.export.write import paths_of, write_bundle
from sdl_bluesky.session.catalogue import open_catalogue
from sdl_bluesky.session.claim import Claim
from sdl_bluesky.session.home import find_home
from sdl_bluesky.session.lab import load_lab

IMPORT_LOCK = "import.lock"


def export_campaign(
    uid: str,
    out: Path,
    lab: Path | None = None,
    home: Path | None = None,
    *,
    log_dir: Path | None = None,
    csv: bool = True,
) -> tuple[Bundle, list[Path]]:
    """Write a campaign as a bundle; returns it, and the paths that were written.

    Args:
        uid: of the campaign, or its beginning.
        out: the file; its tables go into the folder ``NAME-csv`` beside it.
        lab: lab file; as in `sdl_bluesky.session.open.open_session`.
        home: data folder.
        log_dir: folder of the document log that has the campaign; default the data folder's.
        csv: write the tables too.

    Raises:
        CatalogueError: no such campaign in the catalogue, or not the whole of it in the log.
        CampaignError: a run of it has no end yet.
        DataFileError: a file exists already or cannot be written; nothing is left behind.
        ServiceError: the catalogue cannot be reached or started.
    """
    require_new(*paths_of(out, csv=csv))
    place = find_home(home, load_lab(lab) if lab else None)
    with open_catalogue(lab, home) as client:
        bundle = collect_bundle(log_dir or place.log, client, campaign_id(client, uid))
    return bundle, write_bundle(bundle, out, csv=csv)


def import_campaign(file: Path, lab: Path | None = None, home: Path | None = None) -> tuple[Bundle, Restored]:
    """Bring a bundle into the log and the catalogue of a data folder; a second time changes nothing.

    Args:
        file: what `export_campaign` wrote.
        lab: lab file; as in `sdl_bluesky.session.open.open_session`.
        home: data folder, made if missing.

    Raises:
        DataFileError: the file cannot be used, or contradicts the log; nothing was imported.
        ServiceError: the folder or the catalogue cannot be used, or another process imports into it.
    """
    bundle = read_bundle(file)
    place = find_home(home, load_lab(lab) if lab else None).make()
    claim = Claim(place.path / IMPORT_LOCK, "imports a bundle")
    try:
        with open_catalogue(lab, home) as client:
            return bundle, restore(bundle, place.log, client, file)
    finally:
        claim.release()
