"""Cases that differ in their densities only go through the model together; a case that fails leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.checks import findings
from sdl_bluesky.data.rbs.spectra import write_spectrum
from sdl_bluesky.errors import DataFileError, SDLError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import simulate
from sdl_bluesky.physics.rbs.setup import Setup

MOST_AT_ONCE = 256
"""Spectra in one call, so that memory stays small and progress can be told."""
ROUNDING = 1e-12
"""What is smaller than this part of the highest channel, or negative, is left by rounding beyond an edge."""


@dataclass
class Outcome:
    """What became of a set of cases.

    Attributes:
        done: names of the cases that went well.
        faults: name -> why a case failed.
        findings: name -> what is odd about it.
        interrupted: whether Ctrl-C ended it before all cases had their turn.
    """

    done: list[str] = field(default_factory=list)
    faults: dict[str, SDLError] = field(default_factory=dict)
    findings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    interrupted: bool = False


def grouped(cases: Mapping[str, Case]) -> Iterator[tuple[Case, list[str]]]:
    """Sets of at most `MOST_AT_ONCE` cases of one set-up, each with one of them to stand for it."""
    alike: dict[str, list[str]] = {}
    for name, case in cases.items():
        alike.setdefault(case.key(), []).append(name)
    for names in alike.values():
        for first in range(0, len(names), MOST_AT_ONCE):
            part = names[first : first + MOST_AT_ONCE]
            yield cases[part[0]], part


def simulate_cases(
    cases: Mapping[str, Case], folder: Path, advance: Callable[[int], None] = lambda count: None
) -> Outcome:
    """Write the noise-free spectrum of each case as ``folder/name.csv``.

    Args:
        cases: name -> case.
        folder: is made; a file of the same name is replaced.
        advance: called with the number of cases that are done with, well or not.

    Raises:
        DataFileError: the folder cannot be made or written.
    """
    outcome = Outcome()
    make_folder(folder)
    for one, names in grouped(cases):
        try:
            setup = one.setup()
            counts = simulate(setup, np.stack([cases[name].densities() for name in names]))
        except SDLError as fault:
            outcome.faults |= dict.fromkeys(names, fault)
        else:
            for name, row in zip(names, counts, strict=True):
                _store(folder, name, setup, cases[name].densities(), row, outcome)
        advance(len(names))
    return outcome


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        DataFileError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DataFileError(folder, f"this folder cannot be made ({fault.strerror}): choose another one") from fault


def _store(folder: Path, name: str, setup: Setup, layers: Array, counts: Array, outcome: Outcome) -> None:
    path = folder / f"{name}.csv"
    try:
        write_spectrum(path, np.where(counts < ROUNDING * counts.max(), 0.0, counts))
    except OSError as fault:
        outcome.faults[name] = DataFileError(path, f"cannot be written ({fault.strerror})")
    except SDLError as fault:
        outcome.faults[name] = fault
    else:
        outcome.done.append(name)
        outcome.findings[name] = findings(setup, layers)
