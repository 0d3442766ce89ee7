"""The server's side of keys: a database of keys, in which the lab's own key stands, and what a key is limited to.

Tiled knows keys with scopes and an end only where it knows people too. So it is given an authenticator, by which nobody
can log in: keys are the only way in, and the first one, which may do everything, is that of the lab.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cachetools import TTLCache
from tiled.access_control.access_policies import ALL_ACCESS, NO_ACCESS, DummyAccessPolicy
from tiled.access_control.scopes import ALL_SCOPES, NO_SCOPES, ScopeName
from tiled.server.protocols import InternalAuthenticator, UserSessionState

from sdl_bluesky.data.consumers.carrying import Carrying, Named
from sdl_bluesky.data.consumers.limits import Limits
from sdl_bluesky.data.databases import KEYS, opened

LAB_NOTE = "the lab's own key"
ROLES = ("user", "admin")
REMEMBER_S = 1.0


class KeysOnly(InternalAuthenticator):
    """An authenticator that lets nobody in: whoever comes needs a key."""

    confirmation_message = ""

    async def authenticate(  # pyright: ignore[reportIncompatibleMethodOverride]  (Tiled awaits it)
        self, username: str, password: str
    ) -> UserSessionState | None:
        """Nobody has a password."""
        return None


class Limited(DummyAccessPolicy):
    """A key with limits opens the containers that it names, and in them what carries its tags, if it names any.

    Tiled walks down to a node and filters at each step, so below a run or a result that is opened all is opened.
    """

    async def allowed_scopes(
        self, node: Any, principal: Any, authn_access_tags: Iterable[str] | None, authn_scopes: Any
    ) -> Any:
        """Everything (as far as the key's scopes go) within the limits; of what only leads there what it is.

        A container's stream of news, and its export, tell of all that is in it: a key with tags gets neither.
        """
        if authn_access_tags is None:
            return ALL_SCOPES
        limits, path = Limits.of(authn_access_tags), await _path(node)
        if path is None or (path and not _opens(limits, path[0])):
            return NO_SCOPES
        if not path or (limits.tags and len(path) == 1):
            return frozenset((ScopeName.read_metadata,))
        return ALL_SCOPES

    async def filters(
        self, node: Any, principal: Any, authn_access_tags: Iterable[str] | None, authn_scopes: Any, scopes: Any
    ) -> Any:
        """Of the root's children only the containers, and of theirs only what carries a tag, are to be seen."""
        if authn_access_tags is None:
            return ALL_ACCESS
        limits, path = Limits.of(authn_access_tags), await _path(node)
        if path is None or (path and not _opens(limits, path[0])):
            return NO_ACCESS
        if not path:
            return [Named(tuple(limits.tops or ()))]
        return [Carrying(path[0], limits.tags)] if limits.tags and len(path) == 1 else ALL_ACCESS


def _opens(limits: Limits, container: str) -> bool:
    return container in (limits.tops or ())


async def _path(node: Any) -> list[str] | None:
    """Keys from the root to a node; None for what is no node of the catalogue (the inside of a file)."""
    segments = getattr(node, "path_segments", None)
    return None if segments is None else list(await segments())


def remember_keys() -> None:
    """Spare the database the question for a key that it has answered within a second.

    Tiled 0.2 asks three times for each request, which tripled the time of a small one. A key that has ended is asked for
    at once, a revoked one is refused a second later at most.
    """
    import tiled.server.authentication as authentication

    ask = authentication.lookup_valid_api_key
    answers: TTLCache[bytes, Any] = TTLCache(maxsize=256, ttl=REMEMBER_S)

    async def lookup(db: Any, secret: bytes) -> Any:
        digest = hashlib.sha256(secret).digest()
        key = answers.get(digest)
        if key is None or _ended(key):
            key = await ask(db, secret)
            if key is not None:
                answers[digest] = key
        return key

    authentication.lookup_valid_api_key = lookup


def _ended(key: Any) -> bool:
    return key.expiration_time is not None and key.expiration_time.replace(tzinfo=UTC) < datetime.now(UTC)


async def prepare_keys(uri: str, lab_key: str) -> None:
    """Make the database of keys if it is new, and let the lab's key in; an earlier key of the lab is let in no more.

    Args:
        uri: SQLAlchemy URI of the database.
        lab_key: the key, in hexadecimal digits.

    Raises:
        ServiceError: see `databases.opened`.
    """
    from sqlalchemy.ext.asyncio import AsyncSession

    async with opened(uri, KEYS) as engine, AsyncSession(engine, expire_on_commit=False) as session:
        await _let_in(session, bytes.fromhex(lab_key))


async def _let_in(session: Any, secret: bytes) -> None:
    from sqlalchemy import delete, select
    from sqlalchemy.orm import selectinload
    from tiled.authn_database import orm

    hashed = hashlib.sha256(secret).digest()
    known = select(orm.APIKey).where(orm.APIKey.note == LAB_NOTE).options(selectinload(orm.APIKey.principal))
    keys = (await session.execute(known)).scalars().all()
    if any(key.hashed_secret == hashed for key in keys):
        return
    lab = keys[0].principal if keys else None
    await session.execute(delete(orm.APIKey).where(orm.APIKey.note == LAB_NOTE))
    if lab is None:
        roles = (await session.execute(select(orm.Role).where(orm.Role.name.in_(ROLES)))).scalars().all()
        lab = orm.Principal(type="service", roles=list(roles))
        session.add(lab)
        await session.flush()
    session.add(
        orm.APIKey(
            principal_id=lab.id,
            note=LAB_NOTE,
            scopes=["inherit"],
            first_eight=secret.hex()[:8],
            hashed_secret=hashed,
        )
    )
    await session.commit()
