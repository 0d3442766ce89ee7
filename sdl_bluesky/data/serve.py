"""The process of a Tiled server: `python -m sdl_bluesky.data.serve CONFIG.yml --fd N [--parent PID]`.

It serves on a socket that the process that started it has bound already, so that no port is lost between two programs.
The lab's own key is in SDL_LAB_KEY. `server.TiledServer` is the door for people.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from sdl_bluesky.data.lifeline import end_with
from sdl_bluesky.errors import ServiceError

LINGER_S = 3.0
KEY_VARIABLE = "SDL_LAB_KEY"  # as in `server`, which is not imported: it has no part in this process


def one_statement_at_a_time() -> None:
    """Give each thread of Tiled the DuckDB connection for itself, one after the other.

    Tiled 0.2 hands the same connection, with the same transaction, to all threads at once (StaticPool). With a reader
    beside the writer that ends in errors 500, or in rows that were acknowledged and rolled back by another thread.
    PostgreSQL is not concerned.
    """
    from sqlalchemy.pool import Pool, QueuePool
    from tiled.storage import SQLStorage

    shared: functools.cached_property[Pool] = SQLStorage.__dict__["_connection_pool"]

    def pool(storage: SQLStorage) -> Pool:
        if storage.dialect != "duckdb":
            return shared.func(storage)
        return QueuePool(cast(Any, storage._adbc_connection.adbc_clone), pool_size=1, max_overflow=0, timeout=60)

    exclusive = functools.cached_property(pool)
    exclusive.__set_name__(SQLStorage, "_connection_pool")
    cast(Any, SQLStorage)._connection_pool = exclusive


async def _prepare(settings: Any) -> None:
    """Make what is missing in the databases of Tiled's settings, and let the lab's key in."""
    from sdl_bluesky.data.consumers.access import prepare_keys
    from sdl_bluesky.data.databases import prepare_catalogue

    for tree in settings.trees:
        await prepare_catalogue(str(tree.args["uri"]))
    await prepare_keys(str(settings.database.uri), os.environ[KEY_VARIABLE])


def _leave(*_: object) -> None:
    raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, or until a moment after the parent's death (the writer brings home what it has)."""
    parser = argparse.ArgumentParser(prog="python -m sdl_bluesky.data.serve", description=__doc__)
    parser.add_argument("config", type=Path, help="Tiled's configuration file")
    parser.add_argument("--fd", type=int, required=True, help="file descriptor of the bound socket")
    parser.add_argument("--parent", type=int, help="end when the process of this pid has died")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _leave)  # uvicorn has its own handler while it serves, and calls this one at its end
    if arguments.parent:
        end_with(arguments.parent, linger_s=LINGER_S)

    from tiled.config import parse_configs

    settings = parse_configs(arguments.config)  # a fault in it is told before the slow imports

    import uvicorn
    from tiled.server.app import build_app_from_config
    from tiled.server.logging_config import LOGGING_CONFIG

    from sdl_bluesky.data.consumers.access import remember_keys

    one_statement_at_a_time()
    remember_keys()
    try:
        asyncio.run(_prepare(settings))
    except ServiceError as error:
        raise SystemExit(str(error)) from error
    app = build_app_from_config(settings)
    config = uvicorn.Config(app, log_config=LOGGING_CONFIG, access_log=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=arguments.fd)])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
