"""What every start document of a lab says."""

from __future__ import annotations

import getpass
from importlib.metadata import version
from typing import Any

from sdl_bluesky.session.lab import LabFile

RECORDED_VERSIONS = ("sdl-bluesky", "bluesky", "ophyd", "tiled", "torch", "numpy")


def metadata_of(lab: LabFile) -> dict[str, Any]:
    """Lab, operator, geometry and software, for the metadata of a RunEngine."""
    return {
        "schema": 1,
        "lab": lab.name,
        "lab_sha256": lab.sha256,
        "operator": lab.operator or getpass.getuser(),
        **({"tags": list(lab.tags)} if lab.tags else {}),
        "geometry": lab.geometry(),
        "versions": {name: version(name) for name in RECORDED_VERSIONS},
    }
