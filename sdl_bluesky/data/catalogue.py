"""Readers of the catalogue, for people and programs that consume data.

    client = connect("http://127.0.0.1:8000")            key from TILED_API_KEY
    runs = find_runs(client, sample="A1", source="cu", since="2026-08-01")
    read_table(runs.values().last(), "qcm")

`client` is Tiled's own client of the root. Everything here is a few lines of Tiled's public interface, so that a user
with nothing but the Tiled client types the same (`find_runs` shows the queries).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httpx

from sdl_bluesky.data.layout import ANALYSIS, CAMPAIGNS, RAW
from sdl_bluesky.errors import CatalogueError, ServiceError, ServiceMissing

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from tiled.client.container import Container

Moment = float | str | datetime


def connect(uri: str, api_key: str | None = None, timeout: float = 5.0, patience: float = 60.0) -> Container:
    """Connect to a Tiled server; returns Tiled's client of its root.

    Args:
        uri: "http://host:port".
        api_key: default TILED_API_KEY of the environment.
        timeout: seconds until a server that does not answer is called missing.
        patience: seconds that one later request may take.

    Raises:
        ServiceMissing: nobody answers there.
        ServiceError: somebody answers who is no Tiled server, or who refuses the key.
    """
    base = uri.split("/api/v1")[0].rstrip("/")
    proxies = urlsplit(base).hostname not in ("127.0.0.1", "localhost", "::1")  # a proxy does not know our own machine
    api_key = api_key or os.environ.get("TILED_API_KEY")
    try:
        about = httpx.get(f"{base}/api/v1/", timeout=timeout, trust_env=proxies).raise_for_status().json()
        if not api_key and about["authentication"]["required"]:
            raise ServiceError(f"{base} wants a key: set TILED_API_KEY to the one that you were given")
        from tiled.client import from_uri  # seconds, which a missing server need not cost

        limits = httpx.Timeout(patience, connect=timeout)
        client = from_uri(f"{base}/api/v1", api_key=api_key, timeout=limits, trust_env=proxies, remember_me=False)
    except httpx.TransportError as error:
        raise ServiceMissing(
            f"no Tiled server answers at {base} ({error}): start it (`sdl up`) or correct the address"
        ) from error
    except ServiceError:
        raise
    except (httpx.HTTPStatusError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ServiceError(
            f"{base} does not let us in ({error}): is it a Tiled server, and TILED_API_KEY its key?"
        ) from error
    return cast("Container", client)


def _child(client: Container, name: str) -> Container:
    try:
        return cast("Container", client[name])
    except KeyError:
        raise CatalogueError(
            f"the catalogue {client.uri} has no container {name!r}: is it one of this package? "
            "(sdl_bluesky.data.layout.ensure_containers makes what is missing)"
        ) from None


def raw(client: Container) -> Container:
    """The container of runs."""
    return _child(client, RAW)


def campaigns(client: Container) -> Container:
    """The container of campaign runs."""
    return _child(client, CAMPAIGNS)


def analysis(client: Container) -> Container:
    """The container of derived arrays."""
    return _child(client, ANALYSIS)


def _seconds(moment: Moment) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def find_runs(
    client: Container,
    *,
    sample: str | None = None,
    source: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    campaign: str | None = None,
    container: str = RAW,
    **start: str | float | bool,
) -> Container:
    """Search runs on the server; the result is a Tiled container (`len`, `values()`, further `search`), oldest first.

    Args:
        client: root of the catalogue.
        sample: name of the sample.
        source: name of a source that took part.
        since: start not before: seconds since 1970, datetime, or ISO text (local time if it has no zone).
        until: start before.
        campaign: id of the campaign.
        container: "raw" or "campaigns".
        **start: further keys of the start document with the value wanted, such as `plan_name="characterise"`.
    """
    from tiled.queries import Comparison, Contains, Eq

    found: Any = _child(client, container)
    for key, value in {"sample": sample, "campaign": campaign, **start}.items():
        if value is not None:
            found = found.search(Eq(f"start.{key}", value))
    if source is not None:  # a list is searched as its text, so the quotes make it a member and not a part of one
        found = found.search(Contains("start.sources", f'"{source}"'))
    if since is not None:
        found = found.search(Comparison("ge", "start.time", _seconds(since)))
    if until is not None:
        found = found.search(Comparison("lt", "start.time", _seconds(until)))
    return cast("Container", found.sort(("start.time", 1)))


def find_run(client: Container, uid: str) -> Container:
    """The run of this uid, be it an experiment or a campaign.

    Raises:
        CatalogueError: there is none.
    """
    from sdl_bluesky.data.ledger import find

    for name in (RAW, CAMPAIGNS):
        run = find(_child(client, name), uid)
        if run is not None:
            return run
    raise CatalogueError(f"no run {uid} in the catalogue {client.uri}: not written yet, or of another laboratory?")


@contextmanager
def _whole(run: Container) -> Iterator[None]:
    """What vanishes while it is read is being made, or (after a crash of the writer) deleted and made anew."""
    from tiled.client.utils import ClientError

    try:
        yield
    except (ClientError, KeyError) as fault:
        if isinstance(fault, ClientError) and fault.response.status_code != HTTPStatus.NOT_FOUND:
            raise
        raise CatalogueError(f"run {run.item['id']} is only being made: read it again") from fault


def streams(run: Container) -> set[str]:
    """The names of the streams of a run.

    Raises:
        CatalogueError: the run is only being made.
    """
    with _whole(run):
        return set(run)


def _stream(run: Container, stream: str) -> Any:
    try:
        with _whole(run):
            return run[stream]
    except CatalogueError:
        there = streams(run)
        if stream in there:
            raise
        raise CatalogueError(f"run {run.item['id']} has no stream {stream!r}, only {sorted(there)}") from None


def read_table(run: Container, stream: str = "primary") -> pd.DataFrame:
    """The scalar columns of a stream, with seq_num and time, a row for each event; without rows if it had no event.

    Raises:
        CatalogueError: the run has no such stream, or not yet the whole of it.
    """
    import pandas as pd

    node = _stream(run, stream)
    base = getattr(node, "base", node)
    with _whole(run):
        frames = [base[name].read() for name in base if name.startswith("internal")]
    if not frames:
        keys = cast("Mapping[str, Any]", node.metadata.get("data_keys", {}))
        return pd.DataFrame({name: pd.Series(dtype=float) for name in ("seq_num", "time", *keys)})
    frame = pd.concat(frames, axis=1)
    return cast("pd.DataFrame", frame[[name for name in frame.columns if not str(name).startswith("ts_")]])


def read_last(run: Container, stream: str = "primary") -> dict[str, Any]:
    """The last event of a stream, arrays too, by column.

    Raises:
        CatalogueError: the run has no such stream, or not yet the whole of it, or the stream no event.
    """
    node = _stream(run, stream)
    base = getattr(node, "base", node)
    table = read_table(run, stream)
    if not len(table):
        raise CatalogueError(f"stream {stream!r} of run {run.item['id']} has no event")
    with _whole(run):
        arrays = {name: base[name].read()[-1] for name in base if not name.startswith("internal")}
    return {**{str(k): v for k, v in table.iloc[-1].items()}, **arrays}


def read_dataset(run: Container, stream: str = "primary") -> xr.Dataset:
    """All of a stream, arrays too, as an xarray Dataset with the coordinate `time`.

    Raises:
        CatalogueError: the run has no such stream, or not yet the whole of it, or the stream no event.
    """
    node = _stream(run, stream)
    with _whole(run):
        if not list(getattr(node, "base", node)):
            raise CatalogueError(f"stream {stream!r} of run {run.item['id']} has no event")
        return node.read()
