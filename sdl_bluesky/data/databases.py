"""The two databases of a Tiled server, of nodes and of keys: a new one gets its tables, an unfit one is named.

Tiled makes the first of them in a process of its own, for whose imports every start of a server would wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from sdl_bluesky.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True)
class Kind:
    """A kind of database: Tiled's package for it, and how the lab file calls it."""

    package: str
    name: str
    field: str


NODES = Kind("tiled.catalog", "database of the catalogue", "catalogue.catalog")
KEYS = Kind("tiled.authn_database", "database of keys", "catalogue.keys")


@asynccontextmanager
async def opened(uri: str, kind: Kind) -> AsyncIterator[AsyncEngine]:
    """A database that has its tables, at the revision that this Tiled needs.

    Args:
        uri: SQLAlchemy URI.
        kind: what is in it.

    Raises:
        ServiceError: it is not there, does not let us in, or belongs to another program or version.
    """
    from asyncpg import PostgresError
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import DatabaseUpgradeNeeded, UnrecognizedDatabase
    from tiled.utils import ensure_specified_sql_driver

    engine = create_async_engine(ensure_specified_sql_driver(uri))
    try:
        await _ensure_tables(engine, kind)
        yield engine
    except (SQLAlchemyError, PostgresError, OSError, DatabaseUpgradeNeeded, UnrecognizedDatabase) as error:
        where = engine.url.render_as_string(hide_password=True)
        raise ServiceError(
            f"the {kind.name} {where} cannot be used ({error}): make it, or correct `{kind.field}` of the lab file"
        ) from error
    finally:
        await engine.dispose()


async def _ensure_tables(engine: AsyncEngine, kind: Kind) -> None:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from tiled.alembic_utils import UninitializedDatabase, check_database

    core = import_module(f"{kind.package}.core")
    try:
        await check_database(engine, core.REQUIRED_REVISION, core.ALL_REVISIONS)
    except UninitializedDatabase:
        await core.initialize_database(engine)
        async with engine.begin() as connection:
            script = ScriptDirectory(str(import_module(f"{kind.package}.alembic_constants").ALEMBIC_DIR))
            await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).stamp(script, core.REQUIRED_REVISION)
            )


async def prepare_catalogue(uri: str) -> None:
    """Make the tables of the catalogue if its database is new.

    Raises:
        ServiceError: see `opened`.
    """
    async with opened(uri, NODES):
        pass
