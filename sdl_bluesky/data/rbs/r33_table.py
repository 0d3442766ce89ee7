"""The data of an R33 file: energy, its error, value, its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.data.rbs.r33_header import Header
from sdl_bluesky.data.rbs.text import number, shown
from sdl_bluesky.errors import CrossSectionFileError
from sdl_bluesky.physics.geometry import Array

LOWEST_KEV = 30.0
"""A table that ends below this energy is in MeV."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns [4, n]: energy [keV], its error, value [unit of the header], its error; energies rise."""

    columns: Array
    findings: tuple[str, ...]


def parse_table(lines: Sequence[str], header: Header, where: str) -> Table:
    """Read the lines between Data and EndData: four columns, or two without errors.

    Raises:
        CrossSectionFileError: a line is no row of data, or the end is missing.
    """
    rows: list[tuple[float, float, float, float]] = []
    for index in range(header.data_line, len(lines)):
        line = lines[index].strip()
        if line.lower().rstrip(" :") == "enddata":
            _nothing_after(lines[index + 1 :], where, index + 2)
            return _table(rows, header, where)
        if line:
            rows.append(_row(line, header, where, index + 1))
    raise CrossSectionFileError(
        where, "there is no line 'EndData:': the file was cut short; fetch it again", len(lines)
    )


def _row(line: str, header: Header, where: str, number_of_line: int) -> tuple[float, float, float, float]:
    tokens = line.replace(",", " ").split()
    values = [number(token) for token in tokens]
    if None in values:
        bad = tokens[values.index(None)]
        raise CrossSectionFileError(where, f"{shown(bad)} is no number in {shown(line)}", number_of_line)
    found = [v for v in values if v is not None]
    if len(found) == 2:
        found = [found[0], 0.0, found[1], 0.0]
    if len(found) != 4:
        what = f"{len(found)} columns in {shown(line)}: write energy, its error, value, its error (or energy, value)"
        raise CrossSectionFileError(where, what, number_of_line)
    energy, energy_std, value, value_std = found
    if energy <= 0.0 or value < 0.0:
        raise CrossSectionFileError(
            where, f"energy {energy:g} must be positive and value {value:g} not negative", number_of_line
        )
    e, v = header.energy_factor, header.value_factor
    return energy * e, abs(energy_std) * e, value * v, abs(value_std) * v


def _nothing_after(rest: Sequence[str], where: str, first: int) -> None:
    for index, line in enumerate(rest):
        if line.lower().strip().startswith("data"):
            what = "a second table begins here: split the file, one table (angle) each"
            raise CrossSectionFileError(where, what, first + index)


def _table(rows: list[tuple[float, float, float, float]], header: Header, where: str) -> Table:
    findings = []
    if len(rows) < 2:
        raise CrossSectionFileError(
            where, f"{len(rows)} row(s) of data: at least two energies are needed", header.data_line
        )
    columns = np.array(rows).T
    if not np.all(np.isfinite(columns)):
        raise CrossSectionFileError(where, "a number is too large once the factors are applied", header.data_line)
    if columns[0].max() < LOWEST_KEV:
        what = (
            f"energies end at {columns[0].max():g}: they seem to be in MeV, R33 wants keV (or Enfactors: 1000, 0, 0, 0)"
        )
        raise CrossSectionFileError(where, what, header.data_line)
    if np.any(np.diff(columns[0]) <= 0):
        order = np.argsort(columns[0], kind="stable")
        findings.append("energies did not rise everywhere: they were sorted")
        columns = columns[:, order]
    energies, first, count = np.unique(columns[0], return_index=True, return_counts=True)
    if energies.size < columns.shape[1]:
        if energies.size < 2:
            raise CrossSectionFileError(where, "all energies are the same: at least two are needed", header.data_line)
        findings.append(f"{columns.shape[1] - energies.size} energies stand more than once: their means were taken")
        columns = np.add.reduceat(columns, first, axis=1) / count
        columns[0] = energies
    return Table(columns, tuple(findings))
