"""Predictions of a network for spectra in files: in one batch, each with its own result or its own reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.fit_input import SUFFIXES, find_spectrum
from sdl_bluesky.data.rbs.groups import MOST_AT_ONCE, Outcome
from sdl_bluesky.data.rbs.predict_entries import entries_of_answer, entries_of_network
from sdl_bluesky.data.rbs.shipped import shipped_models
from sdl_bluesky.data.rbs.spectra import Spectrum
from sdl_bluesky.errors import DataFileError, OutOfRange, SDLError, SpectrumFileError, UnknownName
from sdl_bluesky.inference.rbs_mdn.matching import check_setup
from sdl_bluesky.inference.rbs_mdn.model import Model, load_model
from sdl_bluesky.inference.rbs_mdn.route import RESTARTS, answer
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup


@dataclass(frozen=True)
class PredictOptions:
    """What is done with spectra.

    Attributes:
        fit: whether a fit follows the network.
        restarts: of a fit that is not accepted.
        composition: elements whose fractions are told.
    """

    fit: bool = True
    restarts: int = RESTARTS
    composition: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Measured:
    """One spectrum, ready for a model.

    Attributes:
        counts: [channel], as many as the model has.
        fluence: factor on that of the model's set-up.
        findings: what is odd.
    """

    counts: Array = field(repr=False)
    fluence: float = 1.0
    findings: tuple[str, ...] = ()


def open_model(where: Path | str) -> Model:
    """A model by its file, or by the name of a shipped one.

    Raises:
        ModelFileError: no model can be read from the file.
        UnknownName: neither a file nor a shipped model.
    """
    shipped, path = shipped_models(), Path(where)
    if str(where) in shipped:
        return load_model(shipped[str(where)])
    if not path.suffix and not path.is_file():
        raise UnknownName("model (or file ending in .npz, see sdl rbs train)", str(where), tuple(shipped))
    return load_model(path)


def spectra_in(folder: Path) -> tuple[str, ...]:
    """Names of the spectra of a folder: its files .csv, .txt, .dat and .xnra without their endings, in order.

    Raises:
        DataFileError: the folder cannot be read.
        OutOfRange: it holds none.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith(".")]
    except OSError as fault:
        raise DataFileError(
            folder, f"this folder cannot be read ({fault.strerror}): give that of the spectra"
        ) from fault
    if not found:
        raise OutOfRange(f"{folder}: there is no spectrum in this folder ({', '.join(SUFFIXES)})")
    return tuple(sorted({path.stem for path in found}))


def predict_files(
    model: Model,
    folder: Path,
    cases: Mapping[str, Case] | None = None,
    options: PredictOptions = PredictOptions(),
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[dict[str, Any], Outcome]:
    """What a model says of the spectra of a folder.

    Args:
        model: for their material system.
        folder: with NAME.csv (.txt, .dat, .xnra).
        cases: their names and experiments; None: all spectra of the folder, measured as the model expects, with its fluence.
        options: see `PredictOptions`.
        advance: called with the number of spectra that are done with, well or not.

    Returns:
        name -> what is written (see docs/reference/cli.md, or {"error"}); and what became of them.

    Raises:
        DataFileError, OutOfRange: there are no spectra; without cases the fluence of the model's set-up must be one that it
            was trained for.
        UnknownName: an element that the model does not have.
    """
    check_elements(model, options.composition)
    names = tuple(cases) if cases is not None else _alone(model, folder)
    outcome, inputs, found = Outcome(), dict[str, Measured](), dict[str, Any]()
    bench = _Matcher(model)
    try:
        for name in names:
            try:
                spectrum = find_spectrum(folder, name)
                inputs[name] = bench.measured(spectrum, None if cases is None else cases[name])
            except SDLError as fault:
                outcome.faults[name] = fault
                advance(1)
        for group in _groups(inputs, options.fit):
            _predict_group(model, group, inputs, options, found, outcome)
            advance(len(group))
    except KeyboardInterrupt:  # what is there by now shall not be lost
        outcome.interrupted = True
        left = SDLError("not predicted: the program was interrupted before")
        outcome.faults |= {name: left for name in names if name not in found and name not in outcome.faults}
    for name, fault in outcome.faults.items():
        found[name] = {"error": f"{type(fault).__name__}: {fault}"}
    return {name: found[name] for name in names}, outcome


def check_elements(model: Model, elements: Sequence[str]) -> None:
    """Elements whose fractions are asked for are in the layers whose densities are not known.

    Raises:
        UnknownName: one is not.
    """
    system = model.system
    known = [
        e for e in system.setup.elements if any(e in k for k, free in zip(system.layers, system.free) if free.any())
    ]
    for name in elements:
        if name not in known:
            raise UnknownName(f"element of the layers that {system.name} determines", name, known)


def _alone(model: Model, folder: Path) -> tuple[str, ...]:
    low, high = model.system.fluence
    if not low <= 1.0 <= high:
        raise OutOfRange(
            f"the model {model.system.name} was trained for {low:g} to {high:g} times the fluence of its set-up, which is "
            "known of every spectrum: give it in a file of cases (--cases)"
        )
    return spectra_in(folder)


class _Matcher:
    """Brings spectra and cases to a model; cases of one set-up share it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._setups: dict[str, Setup] = {}

    def measured(self, spectrum: Spectrum, case: Case | None) -> Measured:
        """One spectrum for the model.

        Raises:
            SpectrumFileError: it has other channels than the model.
            ModelMismatch: the case is another measurement than that of the model.
        """
        system, notes = self._model.system, list(spectrum.findings)
        channels, fluence = system.setup.channels, 1.0
        if case is not None:
            asked = case.channels or spectrum.end
            fluence = check_setup(system, self._setup(case, asked), case.densities())
        if spectrum.end < channels:
            what = f"it ends at channel {spectrum.end}, the model has {channels} channels: it was cut short, or"
            raise SpectrumFileError(spectrum.source, f"{what} another detector's: train a model for this set-up")
        if spectrum.end > channels:
            what = f"{spectrum.end} channels, the model {channels}"
            if case is None:
                raise SpectrumFileError(
                    spectrum.source, f"it has {what}: another detector or calibration? Say what it is in --cases"
                )
            notes.append(f"the file has {what}: the rest was not used")
        first = min(low for low, _ in system.roi)
        if spectrum.first_channel > first:
            what = f"it begins at channel {spectrum.first_channel}, the model looks from channel {first}"
            raise SpectrumFileError(spectrum.source, what)
        return Measured(spectrum.from_zero(channels), fluence, tuple(notes))

    def _setup(self, case: Case, channels: int) -> Setup:
        key = f"{case.key()} {channels}"
        if key not in self._setups:
            self._setups[key] = case.setup(channels)
        return self._setups[key]


def _groups(inputs: Mapping[str, Measured], fit: bool) -> Iterator[list[str]]:
    """Names that go together: for a fit those of one fluence, since it has one set-up."""
    alike: dict[float, list[str]] = {}
    for name, one in inputs.items():
        alike.setdefault(one.fluence if fit else math.nan, []).append(name)
    for names in alike.values():
        for first in range(0, len(names), MOST_AT_ONCE):
            yield names[first : first + MOST_AT_ONCE]


def _predict_group(
    model: Model,
    names: Sequence[str],
    inputs: Mapping[str, Measured],
    options: PredictOptions,
    found: dict[str, Any],
    outcome: Outcome,
) -> None:
    """Spectra together; if that fails, one by one, so that only the one to blame is lost."""
    counts = np.stack([inputs[name].counts for name in names])
    fluence = np.array([inputs[name].fluence for name in names])
    try:
        if options.fit:
            whole = answer(model, counts, float(fluence[0]), restarts=options.restarts)
            entries = entries_of_answer(model, whole, options.composition)
        else:
            entries = entries_of_network(model, counts, fluence, options.composition)
    except SDLError as fault:
        if len(names) == 1:
            outcome.faults[names[0]] = fault
            return
        for name in names:
            _predict_group(model, [name], inputs, options, found, outcome)
        return
    for name, entry in zip(names, entries, strict=True):
        entry["findings"] = [*inputs[name].findings, *entry["findings"]]
        found[name] = entry
        outcome.done.append(name)
        outcome.findings[name] = tuple(entry["findings"])
