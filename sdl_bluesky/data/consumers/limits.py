"""What a key is limited to: containers, and tags. Tiled keeps both as the key's access tags, a list of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdl_bluesky.data.layout import ANALYSIS, RUN_CONTAINERS

_TAG = "tag:"


@dataclass(frozen=True)
class Limits:
    """The limits of a key.

    Attributes:
        containers: the only ones that it opens; None: all (with tags: `raw`, `campaigns` and `analysis`).
        tags: within them it opens what carries one of these; none: everything.
    """

    containers: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, access_tags: Iterable[str] | None) -> Limits:
        """The limits that access tags stand for; an empty list opens nothing at all."""
        if access_tags is None:
            return cls()
        names = list(dict.fromkeys(access_tags))
        tags = tuple(name.removeprefix(_TAG) for name in names if name.startswith(_TAG))
        containers = tuple(name for name in names if not name.startswith(_TAG))
        return cls(None if tags and not containers else containers, tags)

    def as_access_tags(self) -> list[str] | None:
        """Access tags for Tiled; None: no limit."""
        if self.containers is None and not self.tags:
            return None
        return [*dict.fromkeys(self.containers or ()), *(_TAG + tag for tag in dict.fromkeys(self.tags))]

    @property
    def tops(self) -> Sequence[str] | None:
        """The containers at the top of the catalogue that are opened; None: all."""
        return (*RUN_CONTAINERS, ANALYSIS) if self.containers is None and self.tags else self.containers
