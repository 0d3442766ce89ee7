"""The part of the lab file about the catalogue: the Tiled server, and the databases on which it keeps what."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator, model_validator

from sdl_bluesky.data.yamlfile import FaultAt
from sdl_bluesky.session.part import Part

_SCHEMES = {
    "catalog": ("postgresql", "sqlite"),
    "tables": ("postgresql", "duckdb", "sqlite"),
    "keys": ("postgresql", "sqlite"),
    "streaming_cache": ("redis", "rediss"),
}


class CataloguePart(Part):
    """The Tiled server. ``uri: auto`` starts an own one in the lab's folder; another one's key is in TILED_API_KEY."""

    uri: str = "auto"
    port: int | Literal["auto"] = "auto"
    catalog: str | None = None
    tables: str | None = None
    keys: str | None = None
    streaming_cache: str = "memory"

    @field_validator(*_SCHEMES)
    @classmethod
    def _known(cls, uri: str | None, info: ValidationInfo) -> str | None:
        if uri is None or (info.field_name == "streaming_cache" and uri in ("memory", "")):
            return uri
        known = _SCHEMES[str(info.field_name)]
        scheme, colon, rest = uri.partition("://")
        if not (colon and rest) or scheme.split("+")[0] not in known:
            what = (
                f"{scheme!r} is no kind of database for this" if colon else "this is no URI"
            )  # it may hold a password
            raise ValueError(f"{what}: write {' or '.join(f'{one}://...' for one in known)}")
        return uri

    @model_validator(mode="after")
    def _own_database(self) -> CataloguePart:
        for name in ("catalog", "tables"):
            other = getattr(self, name)
            if self.keys is not None and other is not None and _place(self.keys) == _place(other):
                raise FaultAt(f"this is the database of {name!r}: keys need one of their own, so name another", "keys")
        return self


def _place(uri: str) -> str:
    """Where a database is, whatever program speaks to it, and as whom."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme.split('+')[0]}://{rest.rpartition('@')[2].partition('?')[0]}"
