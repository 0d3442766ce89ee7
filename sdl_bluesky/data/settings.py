"""What a Tiled server is made of: where the catalogue, tables, arrays and the stream of news live.

TiledSettings.local("data/tiled")                                  one machine, no other service
TiledSettings(catalog="postgresql+asyncpg://...", storage=("file:///data/arrays", "postgresql://..."),
              streaming_cache="redis://...", host="0.0.0.0", port=8000)                     a facility
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPORTER = "bluesky_tiled_plugins.exporters:json_seq_exporter"
AUTHENTICATOR = "sdl_bluesky.data.consumers.access:KeysOnly"
ACCESS_POLICY = "sdl_bluesky.data.consumers.access:Limited"


@dataclass(frozen=True)
class TiledSettings:
    """The settings of one Tiled server.

    Attributes:
        catalog: SQLAlchemy URI of the catalogue, "sqlite:///..." or "postgresql+asyncpg://...".
        storage: URIs for arrays (a folder) and tables ("duckdb:///..." or "postgresql://...").
        streaming_cache: "memory" (one server process) or "redis://..."; empty: consumers have to ask for news.
        readable: folders whose files may be registered as external data.
        host: address to listen on.
        port: 0 for a free one.
        keys: SQLAlchemy URI of the database of keys, one of its own; empty: a SQLite file in the server's folder.
    """

    catalog: str
    storage: tuple[str, ...]
    streaming_cache: str = "memory"
    readable: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    keys: str = ""

    @classmethod
    def local(cls, directory: Path | str, host: str = "127.0.0.1", port: int | None = 0) -> TiledSettings:
        """Everything in one folder: SQLite, DuckDB and files. (SQLite as table storage would turn NaN into null.)"""
        folder = Path(directory).resolve()
        storage = (str(folder / "files"), f"duckdb:///{folder / 'tables.duckdb'}")
        return cls(f"sqlite:///{folder / 'catalog.db'}", storage, host=host, port=port or 0)

    def config(self) -> Mapping[str, Any]:
        """The configuration as Tiled reads it; the lab's key is not in it (see `serve`)."""
        arguments: dict[str, Any] = {"uri": self.catalog, "writable_storage": list(self.storage)}
        if self.readable:
            arguments["readable_storage"] = list(self.readable)
        return {
            "trees": [{"path": "/", "tree": "catalog", "args": arguments}],
            **({"streaming_cache": {"uri": self.streaming_cache}} if self.streaming_cache else {}),
            "media_types": {"BlueskyRun": {"application/json-seq": EXPORTER}},
            "authentication": {"providers": [{"provider": "keys", "authenticator": AUTHENTICATOR}]},
            "access_control": {"access_policy": ACCESS_POLICY, "args": {}},
            "database": {"uri": self.keys},
        }
