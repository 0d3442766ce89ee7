"""The three containers of a catalogue and what stands in their metadata.

raw        runs, spec CatalogOfBlueskyRuns 3.0
campaigns  runs whose start document says `purpose: campaign`, same spec
analysis   derived arrays, a plain container
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiled.client.container import Container

SCHEMA = 1
RAW, CAMPAIGNS, ANALYSIS = "raw", "campaigns", "analysis"
RUN_CONTAINERS = (RAW, CAMPAIGNS)
_IDENTITY = "catalogue"


def container_of(start: Mapping[str, Any]) -> str:
    """Name of the container that a run belongs to, by its start document."""
    return CAMPAIGNS if start.get("purpose") == "campaign" else RAW


def ensure_containers(client: Container) -> str:
    """Make the containers that are missing; returns the identity of this catalogue (constant for its life).

    Raises:
        httpx.HTTPError: the server refuses or does not answer.
    """
    from tiled.client.utils import ClientError
    from tiled.structures.core import Spec

    runs = [Spec("CatalogOfBlueskyRuns", version="3.0")]
    present = set(client)
    for name in (RAW, CAMPAIGNS, ANALYSIS):
        if name in present:
            continue
        metadata: dict[str, Any] = {"schema": SCHEMA}
        if name == RAW:
            metadata[_IDENTITY] = uuid.uuid4().hex
        try:
            client.create_container(
                name,
                metadata=metadata,
                specs=runs if name in RUN_CONTAINERS else [],
            )
        except ClientError as error:
            if error.response.status_code != 409:  # another process was faster
                raise
    return identity(client)


def identity(client: Container) -> str:
    """The identity of a catalogue: another one after its data were thrown away, the same after a restart."""
    raw = client[RAW]
    return str(raw.metadata.get(_IDENTITY) or raw.uri)
