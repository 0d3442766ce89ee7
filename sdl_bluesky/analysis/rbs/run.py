"""Backscattering spectra of a film as the analysis needs them, read back from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import read_dataset
from sdl_bluesky.errors import CatalogueError, OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

if TYPE_CHECKING:
    from tiled.client.container import Container

E_COULOMB = 1.602176634e-19
COLUMNS = ("x", "y", "tilt", "energy", "charge", "live_time", "real_time", "spectrum")


@dataclass(frozen=True, eq=False)
class RBSPoint:
    """One spectrum at one place of the film.

    Attributes:
        x_mm, y_mm: where the beam was.
        setup: as the readbacks were; its fluence is the charge, of singly charged ions.
        counts: [channel].
        dead: part of the time in which the detector was not ready.
    """

    x_mm: float
    y_mm: float
    setup: Setup
    counts: Array
    dead: float = 0.0

    def __str__(self) -> str:
        return f"({self.x_mm:g}, {self.y_mm:g}) mm"


@dataclass(frozen=True, eq=False)
class RBSRun:
    """The spectra of one run.

    Attributes:
        start: start document.
        film: elements of the film.
        substrate: its layers below the film [layer, element], 1e15 at/cm2, columns as `elements`.
        points: the spectra that can be used.
        findings: why others cannot.
    """

    start: Mapping[str, Any]
    film: tuple[str, ...]
    substrate: Array
    points: tuple[RBSPoint, ...]
    findings: tuple[str, ...] = ()

    @property
    def uid(self) -> str:
        """Of the run."""
        return str(self.start["uid"])

    @property
    def elements(self) -> tuple[str, ...]:
        """Columns of the layers: the film's elements, then those that only the substrate has."""
        return self.points[0].setup.elements


def read_rbs_run(run: Container) -> RBSRun:
    """The spectra of a measure_rbs run.

    Raises:
        CatalogueError: see `rbs_run`.
    """
    data = read_dataset(run, "primary")
    return rbs_run(start_of(run), {str(name): data[name].values for name in data.data_vars})


def rbs_run(start: Mapping[str, Any], columns: Mapping[str, ArrayLike]) -> RBSRun:
    """Spectra from a start document and the columns [point] of the primary stream, the spectrum [point, channel].

    The charge is taken as that collected while the detector was ready; where `rbs_setup` says `gated: false`, it is all the
    charge, and counts for the live part of the time.

    Raises:
        CatalogueError: the run does not say its film or set-up, lacks a column, or holds no spectrum that can be used.
    """
    where = f"run {start.get('uid', '?')}"
    missing = [k for k in COLUMNS if k not in columns]
    if missing:
        raise CatalogueError(f"{where}: its primary stream has no {', '.join(missing)}: it is no map of spectra")
    film = _film(start, where)
    setup, substrate = _setup(start, film, where)
    rows = {k: np.asarray(columns[k], dtype=float) for k in COLUMNS}
    if rows["spectrum"].ndim != 2 or rows["spectrum"].shape[1] != setup.channels:
        raise CatalogueError(
            f"{where}: spectra of shape {rows['spectrum'].shape} do not have {setup.channels} channels"
        )
    points: list[RBSPoint] = []
    findings: list[str] = []
    for i in range(len(rows["spectrum"])):
        values = {k: float(v[i]) for k, v in rows.items() if k != "spectrum"}
        fault = _fault(values, rows["spectrum"][i])
        if fault:
            findings.append(f"point {i + 1} at ({values['x']:g}, {values['y']:g}) mm left out: {fault}")
            continue
        points.append(_point(setup, start, values, rows["spectrum"][i], where))
    if not points:
        raise CatalogueError(f"{where} has no spectrum that can be used: {'; '.join(findings) or 'it has no point'}")
    return RBSRun(start, film, substrate, tuple(points), tuple(findings))


def _film(start: Mapping[str, Any], where: str) -> tuple[str, ...]:
    film = start.get("elements")
    if isinstance(film, str) or not isinstance(film, Sequence) or not film or len(set(film)) != len(film):
        raise CatalogueError(f"{where} does not say the elements of its film ('elements' is {film!r})")
    return tuple(str(k) for k in film)


def _setup(start: Mapping[str, Any], film: Sequence[str], where: str) -> tuple[Setup, Array]:
    """The set-up as it was asked for, one ion on the sample, and the layers of the substrate."""
    case = start.get("rbs_setup")
    if not isinstance(case, Mapping):
        raise CatalogueError(f"{where} has no 'rbs_setup' in its start document: it cannot be analysed by itself")
    try:
        layers = [{str(k): float(v) for k, v in layer.items()} for layer in case["substrate"]]
        elements = tuple(dict.fromkeys([*film, *(name for layer in layers for name in layer)]))
        setup = Setup.from_case({**case, "fluence_ions": 1.0}, elements, int(case["channels"]))
        values = np.array([[layer.get(name, 0.0) for name in elements] for layer in layers])
        if case.get("solid_angle_msr") is None or not values.size or not np.all(np.isfinite(values) & (values >= 0)):
            raise OutOfRange("it lacks a solid angle, or the areal densities of its substrate cannot be")
    except (KeyError, TypeError, ValueError, AttributeError, OutOfRange, UnknownName) as fault:
        raise CatalogueError(f"{where}: 'rbs_setup' in its start document cannot be used: {fault}") from fault
    return setup, values


def _fault(values: Mapping[str, float], counts: Array) -> str:
    """Why a spectrum cannot be used; "" if it can."""
    odd = [k for k, v in values.items() if not np.isfinite(v)]
    if odd:
        return f"no number in {', '.join(odd)}"
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        return "a channel holds no count"
    if values["charge"] <= 0.0:
        return f"a charge of {values['charge']:g} uC"
    if not 0.0 < values["live_time"] <= values["real_time"] * (1.0 + 1e-6):
        return f"a live time of {values['live_time']:g} s in {values['real_time']:g} s"
    return ""


def _point(setup: Setup, start: Mapping[str, Any], values: Mapping[str, float], counts: Array, where: str) -> RBSPoint:
    alive = min(values["live_time"] / values["real_time"], 1.0)
    counted = 1.0 if start["rbs_setup"].get("gated", True) else alive
    try:
        own = replace(
            setup,
            energy_keV=values["energy"],
            alpha_deg=values["tilt"],
            beta_deg=start["rbs_setup"].get("beta_deg"),
            fluence_ions=values["charge"] * 1e-6 / E_COULOMB * counted,
        )
    except OutOfRange as fault:
        raise CatalogueError(f"{where}: the readbacks at a point make no experiment: {fault}") from fault
    return RBSPoint(values["x"], values["y"], own, counts, 1.0 - alive)
