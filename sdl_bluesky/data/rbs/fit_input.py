"""What a fit of files needs: the spectrum of a case, its region of interest, the densities from which to start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.data.rbs.case_file import read_json
from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.checks import edges, findings, seen
from sdl_bluesky.data.rbs.fields import read_number
from sdl_bluesky.data.rbs.spectra import Spectrum, read_spectrum
from sdl_bluesky.data.rbs.xnra import read_xnra
from sdl_bluesky.errors import CaseFileError, OutOfRange, SpectrumFileError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

SUFFIXES = (".csv", ".txt", ".dat", ".xnra")
BOX = (0.0, 5000.0)
"""Bounds of a free density [1e15 at/cm2]."""
MIDDLE = 2525.0
"""Start of a free density for "mid": the middle of 50 to 5000, the range of the published data sets."""


@dataclass(frozen=True, eq=False)
class FitInput:
    """One case, ready to be fitted.

    Attributes:
        setup: with as many channels as the spectrum has.
        counts: [channel].
        start: [layer, element] in 1e15 at/cm2; held densities as the case has them.
        free: [layer, element], what is fitted: elements that the case names, in all layers but the last.
        roi: regions of interest.
        key: equal for cases that can be fitted together.
        findings: what is odd.
    """

    case: Case
    setup: Setup
    counts: Array = field(repr=False)
    start: Array
    free: Array
    roi: tuple[tuple[int, int], ...]
    key: str
    findings: tuple[str, ...] = ()


def find_spectrum(folder: Path, name: str) -> Spectrum:
    """The spectrum of a case: ``name.csv``, .txt, .dat or .xnra in a folder, in this order.

    Raises:
        SpectrumFileError: there is none, or it cannot be used.
    """
    for suffix in SUFFIXES:
        path = folder / (name + suffix)
        if path.exists():
            return read_xnra(path).require_spectrum() if suffix == ".xnra" else read_spectrum(path)
    raise SpectrumFileError(folder / f"{name}.csv", f"there is no spectrum of this name ({', '.join(SUFFIXES)})")


def free_of(case: Case) -> Array:
    """Which densities are fitted, [layer, element]: what a layer names, but not the last layer (the substrate)."""
    free = np.array([[name in layer for name in case.elements] for layer in case.layers])
    free[-1] = False
    return free


def prepare(case: Case, spectrum: Spectrum, start: Array) -> FitInput:
    """Bring case, spectrum and start together.

    Args:
        case: the experiment.
        spectrum: as measured.
        start: [layer, element]; the free ones of it count.

    Raises:
        SpectrumFileError: the spectrum ends before the last edge, or before the region of interest.
        OutOfRange: nothing can be fitted.
    """
    free = free_of(case)
    if not free.any():
        raise OutOfRange("the case has one layer, the substrate, which is held: put a layer before it to be fitted")
    channels = case.channels or spectrum.end
    setup = case.setup(channels)
    notes = list(spectrum.findings)
    if spectrum.end < channels:
        what = f"it ends at channel {spectrum.end}, the case has {channels} channels: it was cut short"
        raise SpectrumFileError(spectrum.source, what)
    if spectrum.end > channels:
        notes.append(f"the file has {spectrum.end} channels, the case {channels}: the rest was not used")
    layers = case.densities()
    if not seen(setup, layers):
        _explain_missing(setup, spectrum, layers)
    for edge in edges(setup):
        if layers[:, case.elements.index(edge.element)].any() and edge.channel >= channels and not case.channels:
            what = f"it ends at channel {spectrum.end}, the edge of {edge.element} lies at {edge.channel:.0f}"
            raise SpectrumFileError(spectrum.source, f"{what}: it was cut short, or slope and offset are wrong")
    roi = case.roi or (_described(setup, spectrum),)
    if any(lo < spectrum.first_channel or hi > channels for lo, hi in roi):
        have = f"{spectrum.first_channel} to {channels}"
        raise SpectrumFileError(spectrum.source, f"it has channels {have}, the region of interest is {list(roi)}")
    begin = np.where(free, start, layers)
    notes += findings(setup, np.maximum(begin, layers))
    key = f"{case.key()} {channels} {roi}"
    return FitInput(case, setup, spectrum.from_zero(channels), begin, free, tuple(roi), key, tuple(notes))


def _explain_missing(setup: Setup, spectrum: Spectrum, layers: Array) -> None:
    told = "; ".join(findings(setup, layers))
    raise OutOfRange(f"{spectrum.source}: no element of the sample is on the detector: {told}")


def _described(setup: Setup, spectrum: Spectrum) -> tuple[int, int]:
    """All channels that the model describes: from three resolutions over its lowest energy."""
    lowest = setup.lowest_keV + 3.0 * setup.resolution_fwhm_keV
    first = int(np.searchsorted(setup.edges_keV()[:-1], lowest))
    first = max(first, spectrum.first_channel)
    if first >= setup.channels:
        raise SpectrumFileError(spectrum.source, f"it ends below {lowest:.0f} keV: nothing is left to be fitted")
    return first, setup.channels


class Starts:
    """Densities from which fits begin: "case" (the case's own), "mid", or a file {name: {"layers": [...]}}.

    A file of cases and the output of a fit are such files.

    Raises:
        CaseFileError: the file cannot be used.
    """

    def __init__(self, choice: str) -> None:
        self.choice = choice
        self._path = Path(choice)
        self._file: Mapping[str, Any] | None = None if choice in ("case", "mid") else read_json(self._path)

    def of(self, name: str, case: Case) -> Array:
        """Start of a case [layer, element].

        Raises:
            CaseFileError: the file has no such case, or its layers do not fit.
        """
        if self.choice == "mid":
            return np.full((len(case.layers), len(case.elements)), MIDDLE)
        if self._file is None:
            return case.densities()
        return self._from_file(self._file, name, case)

    def _from_file(self, file: Mapping[str, Any], name: str, case: Case) -> Array:
        where = f"{self._path}: start of {name!r}"
        entry = file.get(name)
        layers = entry.get("layers") if isinstance(entry, Mapping) else None
        if not isinstance(layers, list) or not all(isinstance(layer, Mapping) for layer in layers):
            raise CaseFileError(where, ['it must be {"layers": [{"Cu": 100, ...}, ...]}'])
        if len(layers) not in (len(case.layers), len(case.layers) - 1):
            raise CaseFileError(where, [f"it has {len(layers)} layers, the case has {len(case.layers)}"])
        faults, found = [], case.densities()
        for i, layer in enumerate(layers[: len(case.layers)]):
            for element, value in layer.items():
                if element not in case.layers[i]:
                    faults.append(f"layers.{i}: the case has no {element!r:.40} in this layer")
                    continue
                try:
                    density = read_number(value, "1e15 at/cm2")
                except ValueError as fault:
                    faults.append(f"layers.{i}.{element}: {fault}")
                    continue
                if density < 0.0:
                    faults.append(f"layers.{i}.{element}: {density:g} is negative")
                found[i, case.elements.index(element)] = density
        if faults:
            raise CaseFileError(where, faults)
        return found


def box_of(case: Case, box: tuple[float, float] = BOX) -> tuple[float, float]:
    """Bounds of the free densities: the box, made higher where the case's own densities need it."""
    largest = float(np.max(np.where(free_of(case), case.densities(), 0.0)))
    return box[0], box[1] if largest <= box[1] else math.ceil(2.0 * largest)


def layer_dicts(values: Array, case: Case) -> list[dict[str, float | None]]:
    """[layer, element] as a list of {element: value}, what the case names; null where a value is not finite."""
    rows = []
    for layer, row in zip(case.layers, np.asarray(values, dtype=float), strict=True):
        numbers = dict(zip(case.elements, row.tolist(), strict=True))
        rows.append({name: numbers[name] if math.isfinite(numbers[name]) else None for name in layer})
    return rows
