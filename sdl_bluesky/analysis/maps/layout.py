"""Which number of the joint model (`joint`) is what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.maps.readings import Film


@dataclass(frozen=True, eq=False)
class Layout:
    """Chamber first: lnT of the sensors, then ln sigma, d and q of the sources; then (lnS, n) of each source of each film.

    Attributes:
        sensors: their names.
        films: the settings.
    """

    sensors: tuple[str, ...]
    films: tuple[Film, ...]

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources of all films."""
        return tuple(dict.fromkeys(k.name for film in self.films for k in film.sources))

    @property
    def tooling(self) -> slice:
        """lnT of the sensors."""
        return slice(0, len(self.sensors))

    @property
    def sticking(self) -> slice:
        """Ln sigma of the sources."""
        return slice(len(self.sensors), len(self.sensors) + len(self.sources))

    @property
    def mismatch(self) -> slice:
        """d of all sources, then q of all."""
        first = self.sticking.stop
        return slice(first, first + 2 * len(self.sources))

    @property
    def shared(self) -> int:
        """How many numbers are of the chamber."""
        return self.mismatch.stop

    @property
    def size(self) -> int:
        """How many there are in all."""
        return self.shared + 2 * sum(len(film.sources) for film in self.films)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the chamber's numbers."""
        return (
            *(f"ln_tooling:{k}" for k in self.sensors),
            *(f"ln_sticking:{k}" for k in self.sources),
            *(f"diffuse:{k}" for k in self.sources),
            *(f"square_radius_cm2:{k}" for k in self.sources),
        )

    @property
    def strengths(self) -> list[int]:
        """lnS of each source of each film; n is the next."""
        return list(range(self.shared, self.size, 2))

    def pattern(self, film: int, source: int) -> NDArray[np.int_]:
        """(lnS, n, d, q) of a source of a film."""
        own = self.shared + 2 * (sum(len(k.sources) for k in self.films[:film]) + source)
        k = self.sources.index(self.films[film].sources[source].name)
        return np.array([own, own + 1, self.mismatch.start + k, self.mismatch.start + len(self.sources) + k])

    def wafer(self, film: int, source: int) -> NDArray[np.int_]:
        """(lnS, n, d, q, ln sigma) of a source of a film."""
        k = self.sources.index(self.films[film].sources[source].name)
        return np.append(self.pattern(film, source), self.sticking.start + k)
