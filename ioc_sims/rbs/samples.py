"""What can be loaded: films that the sputter chamber has grown, and samples of the configuration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ioc_sims.common.film import Film
from ioc_sims.rbs.settings import Layer, RBSConfig

log = logging.getLogger(__name__)

Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Sample:
    """What is on the stage: a film on its substrate, or layers that are the same everywhere."""

    number: int
    layers: Layers
    film: Film | None = None

    def layers_at(self, x_mm: float, y_mm: float) -> Layers:
        """The layers under the beam, from the surface on; beside the film the substrate alone."""
        found = self.film.densities(x_mm, y_mm) if self.film is not None else {}
        top = {element: float(density) for element, density in found.items() if density > 0}
        return (top, *self.layers) if top else self.layers


class Samples:
    """Finds samples by number; one of the configuration goes before a film of the same number."""

    def __init__(self, config: RBSConfig) -> None:
        self._config = config
        self._read: tuple[tuple[int, int], Mapping[str, Any]] | None = None

    def find(self, number: int) -> Sample | None:
        """The sample of a number as it is now; None where there is none (the reason is logged)."""
        own = self._config.samples.get(number)
        if own is not None:
            return Sample(number, own.layers)
        path = self._config.films_file
        if path is None:
            return None
        try:
            truth = self._films(path).get(str(number))
            return None if truth is None else Sample(number, self._config.substrate, Film(truth))
        except (OSError, KeyError, TypeError, ValueError) as err:
            log.warning("film %d cannot be taken from %s (%s: %s)", number, path, type(err).__name__, err)
            return None

    def _films(self, path: Path) -> Mapping[str, Any]:
        found = path.stat()
        mark = (found.st_mtime_ns, found.st_size)
        if self._read is None or self._read[0] != mark:
            self._read = (mark, json.loads(path.read_text(encoding="utf-8"))["films"])
        return self._read[1]
