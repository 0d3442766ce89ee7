"""A Tiled profile, so that `databroker.catalog["sdl"]` and `tiled.client.from_profile("sdl")` open the catalogue.

    TILED_PROFILES=DIR TILED_API_KEY=... python -c 'from databroker import catalog; print(catalog["sdl"])'

The key stays out of the file: databroker skips a profile with `api_key` in it.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from sdl_bluesky.data.layout import ANALYSIS, CAMPAIGNS, RAW
from sdl_bluesky.errors import ServiceError


def write_profile(directory: Path | str, uri: str, name: str = "sdl") -> Path:
    """Write the profiles `name` (raw), `name-campaigns` and `name-analysis` into `directory`/`name`.yml.

    Args:
        directory: what TILED_PROFILES will say; made if missing.
        uri: address of the server, "http://host:port".
        name: name of the profile.

    Raises:
        ServiceError: the file cannot be written.
    """
    base = uri.split("/api/v1")[0].rstrip("/") + "/api/v1/metadata/"
    names = {name: RAW, f"{name}-campaigns": CAMPAIGNS, f"{name}-analysis": ANALYSIS}
    path = Path(directory) / f"{name}.yml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({profile: {"uri": base + container} for profile, container in names.items()}))
    except OSError as error:
        raise ServiceError(f"the Tiled profile {path} cannot be written: {error}") from error
    return path
