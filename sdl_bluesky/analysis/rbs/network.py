"""Networks for the spectra of a run: which of the models at hand was trained for its measurement, and what it says.

The models are those of this package and those of folders that a lab names (its data folder's `models`), files *.npz. One
matches if every point of the run is measured as the model expects: energy, tilt and charge are readbacks of each point.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.rbs.run import RBSPoint, RBSRun
from sdl_bluesky.data.rbs.shipped import shipped_models
from sdl_bluesky.errors import ModelFileError, ModelMismatch
from sdl_bluesky.physics.geometry import Array

if TYPE_CHECKING:
    from sdl_bluesky.inference.rbs_mdn import Model, Posterior

log = logging.getLogger(__name__)

STRANGE = 4.0
"""Standard deviations of the deviance from which on a spectrum is not of the film that the run tells."""
FAR = 4.0
"""Distance of network and fit, in the network's standard deviations, from which on a person should look."""
_POINT, _ELEMENT = ["point"], ["point", "element"]
ARRAYS: Mapping[str, tuple[Sequence[str], str]] = {
    "network_density": (_ELEMENT, "1e15 at/cm2"),
    "network_density_std": (_ELEMENT, "1e15 at/cm2"),
    "network_fraction": (_ELEMENT, "atomic fraction"),
    "network_fraction_std": (_ELEMENT, "atomic fraction"),
    "strangeness": (_POINT, "1"),
}
"""Dimensions and unit of the arrays that a result has beside the others where a network was used."""
_known: dict[Path, tuple[tuple[int, int], Loaded]] = {}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model and what tells it from every other: the digest of its file."""

    model: Model
    digest: str


@dataclass(frozen=True, eq=False)
class Choice:
    """The model for a run, if there is one.

    Attributes:
        loaded: the model; None if none matches.
        findings: files that cannot be read, and why no model matches.
    """

    loaded: Loaded | None = None
    findings: tuple[str, ...] = ()

    @property
    def about(self) -> dict[str, str]:
        """Name of the model, digest of its file, digest of its material system; empty without a model."""
        if self.loaded is None:
            return {}
        system = self.loaded.model.system
        return {"name": system.name, "digest": self.loaded.digest, "system": system.digest}


NONE = Choice()
"""No network."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of spectra.

    Attributes:
        best: most probable areal densities [p, e], 1e15 at/cm2.
        density, density_std: [p, e].
        fraction, fraction_std: [p, e].
        low, high: densities that the network knows [e].
    """

    best: Array
    density: Array
    density_std: Array
    fraction: Array
    fraction_std: Array
    low: Array
    high: Array

    def at(self, rows: Sequence[int]) -> Prediction:
        """Of some of the spectra."""
        names = ("best", "density", "density_std", "fraction", "fraction_std")
        return replace(self, **{name: getattr(self, name)[list(rows)] for name in names})

    def distance(self, density: Array) -> Array:
        """How far fitted densities [p, e] are from it, the worst element, in its standard deviations [p].

        A density beyond what the network knows is compared by the end of its range.
        """
        off = np.clip(density, self.low, self.high) - self.density
        return np.max(np.abs(off) / np.maximum(self.density_std, 1e-12), axis=1)


def model_for(run: RBSRun, folders: Sequence[Path] = ()) -> Choice:
    """The model whose material system matches the points of a run.

    A finding tells what differs where there is a model for the same film, measured otherwise.

    Args:
        run: from `rbs_run`.
        folders: with models *.npz, beside those of this package; those named first are preferred.
    """
    findings: list[str] = []
    refused: list[ModelMismatch] = []
    for path in model_files(folders):
        try:
            loaded = load(path)
        except ModelFileError as fault:
            findings.append(f"model left out: {fault}")
            continue
        if not _same_film(run, loaded.model):
            continue
        try:
            for point in run.points:
                _factor(run, point, loaded.model)
        except ModelMismatch as fault:
            refused.append(fault)
            continue
        return Choice(loaded, tuple(findings))
    if refused:
        near = min(refused, key=lambda fault: len(fault.differences))
        others = f" (of {len(refused)} models the nearest)" if len(refused) > 1 else ""
        findings.append(f"no network for these spectra: {near.model}{others}: {'; '.join(near.differences)}")
    return Choice(None, tuple(findings))


def model_files(folders: Sequence[Path] = ()) -> list[Path]:
    """Files of the models at hand, those of the folders first; a model that is just being written is none."""
    found = [path for folder in folders for path in sorted(Path(folder).glob("*.npz"))]
    return [path for path in (*found, *shipped_models().values()) if not path.name.endswith(".tmp.npz")]


def load(path: Path) -> Loaded:
    """A model, from memory if its file has not changed.

    Raises:
        ModelFileError: it cannot be read.
    """
    from sdl_bluesky.inference.rbs_mdn import load_model

    path = path.resolve()
    with _one_at_a_time:
        try:
            about = path.stat()
            state = (about.st_mtime_ns, about.st_size)
            if path in _known and _known[path][0] == state:
                return _known[path][1]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except OSError as fault:
            raise ModelFileError(path, f"it cannot be read: {fault}") from fault
        loaded = Loaded(load_model(path), digest)
        _known[path] = (state, loaded)
        log.info("model %s (%s) from %s", loaded.model.system.name, digest, path)
        return loaded


def predict(loaded: Loaded, run: RBSRun, points: Sequence[RBSPoint]) -> Prediction:
    """All spectra through the network at once; densities and fractions in the order of the film's elements.

    Raises:
        OutOfRange, ModelMismatch: a point is not of the model's measurement, see `model_for`.
    """
    model = loaded.model
    system = model.system
    fluence = np.array([_factor(run, point, model) for point in points])
    posterior: Posterior = model.predict(np.stack([point.counts for point in points]), fluence)
    names = [system.setup.elements[e] for _, e in np.argwhere(system.free)]
    order = [names.index(name) for name in run.film]
    shares = posterior.composition(run.film)
    low, high = system.box
    return Prediction(
        best=posterior.best[:, order],
        density=posterior.mean[:, order],
        density_std=posterior.std[:, order],
        fraction=shares.mean,
        fraction_std=shares.std,
        low=low[order],
        high=high[order],
    )


def _same_film(run: RBSRun, model: Model) -> bool:
    """Whether what is unknown are the elements of the film, and nothing else."""
    system = model.system
    unknown = {system.setup.elements[e] for layer, e in np.argwhere(system.free) if layer == 0}
    return unknown == set(run.film) and system.densities == len(run.film) and not system.held[0].any()


def _factor(run: RBSRun, point: RBSPoint, model: Model) -> float:
    """Factor on the fluence of the model's set-up at a point.

    Raises:
        ModelMismatch: the point is not measured as the model expects.
    """
    from sdl_bluesky.inference.rbs_mdn import check_setup

    held = np.concatenate([np.zeros((1, len(run.elements))), run.substrate])
    try:
        return check_setup(model.system, point.setup, held)
    except ModelMismatch as fault:
        raise ModelMismatch(fault.model, [f"at {point}: {told}" for told in fault.differences]) from fault


def result_arrays(prediction: Prediction, strangeness: Array) -> dict[str, Any]:
    """The arrays of `ARRAYS`."""
    return {
        "network_density": prediction.density,
        "network_density_std": prediction.density_std,
        "network_fraction": prediction.fraction,
        "network_fraction_std": prediction.fraction_std,
        "strangeness": strangeness,
    }
