"""Keys for consumers: they read, they end, and they may be limited to some containers, and to what carries a tag.

    key = make_key(client, expires_s=7 * 86400, tags=["proposal-7"], note="beamline 7")
    key.secret                      what the consumer gets, told this once
    [known.name for known in list_keys(client)]
    revoke_key(client, key.name)

`client` is the root of a catalogue, opened with a key that may make keys: the lab's own, or one's own at a facility.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from sdl_bluesky.data.consumers.limits import Limits
from sdl_bluesky.errors import OutOfRange, ServiceError, UnknownName

if TYPE_CHECKING:
    from tiled.client.container import Container

READ = ("read:metadata", "read:data")
LONGEST_S = 10 * 366 * 86400.0
LONGEST_NOTE = 255
LONGEST_LIMITS = 511
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


@dataclass(frozen=True)
class Key:
    """A key, as far as the server tells of it.

    Attributes:
        name: its first eight digits, by which it is revoked.
        scopes: what it may do.
        containers: the only containers that it opens; None: all.
        tags: it opens what carries one of these; none: everything.
        ends: when it ends; None: never.
        used: when it was last used; None: never.
        note: for whom or for what it is.
        own: True for the key with which the catalogue was asked.
        secret: the key itself; empty but at its making.
    """

    name: str
    scopes: tuple[str, ...]
    containers: tuple[str, ...] | None
    ends: datetime | None
    used: datetime | None
    note: str
    tags: tuple[str, ...] = ()
    own: bool = False
    secret: str = ""

    @property
    def reads_only(self) -> bool:
        """True if it can do nothing but read."""
        return set(self.scopes) <= set(READ)


def duration_s(text: str) -> float:
    """Seconds of "30s", "15m", "12h", "7d" or "4w".

    Raises:
        OutOfRange: it is no such text.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise OutOfRange(f"{text!r} is no duration: write a number and one of s, m, h, d, w, such as 7d")
    return float(match[1]) * _UNITS[match[2]]


def make_key(
    client: Container, *, expires_s: float, containers: Sequence[str] = (), tags: Sequence[str] = (), note: str = ""
) -> Key:
    """Make a key that reads and can do nothing else.

    Args:
        client: root of the catalogue.
        expires_s: seconds until it ends, 1 s to ten years.
        containers: names of the containers that it opens ("campaigns", ...); none: all.
        tags: it opens runs and results that carry one of these (in `tags` of their start document, or as their sample,
            campaign or uid), and no others; none: all. Nothing may carry them yet.
        note: for whom or for what it is; 255 letters at most.

    Raises:
        OutOfRange: the time, the note or the limits are too long, or no number; a tag is blank.
        UnknownName: there is no such container.
        ServiceError: the server does not let us make keys.
    """
    if not (math.isfinite(expires_s) and 1.0 <= expires_s <= LONGEST_S):
        raise OutOfRange(f"a key lives from 1 s to {LONGEST_S:g} s, not {expires_s:g} s")
    if len(note) > LONGEST_NOTE:
        raise OutOfRange(f"the note of a key has {LONGEST_NOTE} letters at most, this one {len(note)}")
    for tag in tags:
        if not tag or tag != tag.strip():
            raise OutOfRange(f"{tag!r} is no tag: it is empty, or begins or ends with a blank")
    limits = Limits(tuple(containers) or None, tuple(tags)).as_access_tags()
    if len(json.dumps(limits)) > LONGEST_LIMITS:
        raise OutOfRange(f"tags and containers of a key have {LONGEST_LIMITS} letters at most: make several keys")
    with _told("make a key"):
        _require_keys(client)
        known = list(client)
        for name in containers:
            if name not in known:
                raise UnknownName("container", name, known)
        made = client.context.create_api_key(list(READ), int(expires_s), note or None, access_tags=limits)
    return _key(made or {})


def list_keys(client: Container) -> list[Key]:
    """The keys of whoever asks, those that end first at the beginning; keys that have ended are left out.

    Raises:
        ServiceError: the server does not tell.
    """
    with _told("list keys"):
        _require_keys(client)
        told = client.context.whoami() or {}
    own = (client.context.api_key or "")[:8]
    keys = [_key(one, own) for one in told.get("api_keys", [])]
    now, never = datetime.now(UTC), datetime.max.replace(tzinfo=UTC)
    return sorted((key for key in keys if (key.ends or never) > now), key=lambda key: (key.ends or never, key.name))


def revoke_key(client: Container, name: str) -> Key:
    """Let a key in no more (from a second later at most); returns what it was.

    Args:
        client: root of the catalogue.
        name: its first eight digits, or more of it.

    Raises:
        UnknownName: there is no such key.
        ServiceError: it is the key with which we ask, or the server refuses.
    """
    keys = {key.name: key for key in list_keys(client)}
    key = keys.get(name[:8])
    if key is None:
        raise UnknownName("key", name[:8], [one for one in keys if not keys[one].own])
    if key.own:
        raise ServiceError(
            f"key {key.name} is the one in use: whoever revokes it is locked out; revoke it with another"
        )
    with _told("revoke a key"):
        client.context.revoke_api_key(key.name)
    return key


def _key(told: Mapping[str, Any], own: str = "") -> Key:
    limits = Limits.of(told.get("access_tags"))
    return Key(
        told["first_eight"],
        tuple(told["scopes"]),
        limits.containers,
        _moment(told["expiration_time"]),
        _moment(told["latest_activity"]),
        told["note"] or "",
        limits.tags,
        told["first_eight"] == own,
        told.get("secret", ""),
    )


def _moment(told: datetime | str | None) -> datetime | None:
    moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _require_keys(client: Container) -> None:
    links = client.context.server_info.authentication.links
    if links is None or not links.apikey:
        raise ServiceError(
            f"{client.uri} has one key for everybody and makes no others: let `sdl up` serve the catalogue, or give that "
            "server an authenticator and a database"
        )


@contextmanager
def _told(what: str) -> Iterator[None]:
    from tiled.client.utils import ClientError

    try:
        yield
    except ClientError as error:
        status = error.response.status_code
        raise ServiceError(f"the catalogue does not let this key {what} ({status}): {_detail(error)}") from error
    except httpx.TransportError as error:
        raise ServiceError(f"the catalogue does not answer ({error}): could not {what}") from error


def _detail(error: httpx.HTTPStatusError) -> str:
    try:
        return str(error.response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error)
