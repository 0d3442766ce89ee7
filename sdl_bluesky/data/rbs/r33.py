"""Cross sections in the R33 format of the ion-beam community (IBANDL): read, used, written.

Format: I. C. Vickridge, DSIR Physical Sciences Report 33, with the changes of the IAEA (2004, 2006). What we read and
write of it is in docs/reference/rbs-files.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdl_bluesky.data.rbs.r33_header import parse_header
from sdl_bluesky.data.rbs.r33_table import parse_table
from sdl_bluesky.data.rbs.reactions import Reaction
from sdl_bluesky.data.rbs.text import decode, read_bytes
from sdl_bluesky.errors import CrossSectionFileError, SDLError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import CrossSection, rutherford


@dataclass(frozen=True, eq=False)
class R33:
    """What an R33 file holds.

    Attributes:
        reaction: beam ion, target, detected ion.
        theta_deg: scattering angle, laboratory frame.
        unit: "mb" (mb/sr, laboratory frame) or "rr" (ratio to Rutherford's cross section, unscreened).
        energy_keV: [n], rising.
        energy_std_keV: [n], 0 where the file has none.
        value: [n] in `unit`.
        value_std: [n] in `unit`.
        q_keV: energies released, one for each level that the detector does not tell apart.
        source: where the data are from.
        comment: what the file says of itself.
        findings: what is odd but usable.
    """

    reaction: Reaction
    theta_deg: float
    unit: str
    energy_keV: Array = field(repr=False)
    energy_std_keV: Array = field(repr=False)
    value: Array = field(repr=False)
    value_std: Array = field(repr=False)
    q_keV: tuple[float, ...] = (0.0,)
    source: str = ""
    comment: str = field(default="", repr=False)
    findings: tuple[str, ...] = ()

    def cross_section(self) -> CrossSection:
        """The cross section [mb/sr, laboratory frame] as the forward model takes it.

        A ratio to Rutherford is multiplied with Rutherford's cross section; a natural element takes the mean of its
        isotopes. Of several Q values the first counts.

        Raises:
            OutOfRange, UnknownName: the forward model cannot use it.
        """
        reaction, q = self.reaction, self.q_keV[0]
        value = self.value
        if self.unit == "rr":
            ion = nuclides.ion(reaction.ion)
            parts = nuclides.target(reaction.target).isotopes
            value = value * sum(w * rutherford(ion, k, self.energy_keV, self.theta_deg) for k, w in parts)
        product = None if reaction.elastic_ion and q == 0.0 else reaction.product
        return CrossSection(
            reaction.ion, reaction.target, self.theta_deg, self.energy_keV, value, product, q, self.source
        )

    @classmethod
    def of(cls, known: CrossSection, comment: str = "") -> R33:
        """A cross section of the forward model, to be written."""
        ion = nuclides.ion(known.ion).symbol
        product = ion if known.product is None else nuclides.ion(known.product).symbol
        zeros = np.zeros_like(known.energy_keV)
        return cls(
            reaction=Reaction(ion, known.target, product),
            theta_deg=known.theta_deg,
            unit="mb",
            energy_keV=known.energy_keV,
            energy_std_keV=zeros,
            value=known.value_mb_sr,
            value_std=zeros,
            q_keV=(known.q_keV,),
            source=known.source,
            comment=comment,
        )


def read_r33(path: Path) -> R33:
    """Read an R33 file; what is not UTF-8 in it is taken as Latin-1, as old files are.

    Raises:
        CrossSectionFileError: it cannot be used; names the file, the line and what to do.
    """
    text = decode(read_bytes(path, CrossSectionFileError), str(path), CrossSectionFileError, fallback="latin-1")
    return parse_r33(text, str(path))


def parse_r33(text: str, where: str = "R33 text") -> R33:
    """The content of an R33 file.

    Raises:
        CrossSectionFileError: it cannot be used; names `where`, the line and what to do.
    """
    lines = text.splitlines()
    header = parse_header(lines, where)
    table = parse_table(lines, header, where)
    found = R33(
        reaction=header.reaction,
        theta_deg=header.theta_deg,
        unit=header.unit,
        energy_keV=table.columns[0],
        energy_std_keV=table.columns[1],
        value=table.columns[2],
        value_std=table.columns[3],
        q_keV=header.q_keV,
        source=header.source,
        comment=header.comment,
        findings=(*header.findings, *table.findings),
    )
    try:
        found.cross_section()
    except SDLError as fault:
        raise CrossSectionFileError(where, f"the forward model cannot use it: {fault}") from fault
    return found


def format_r33(data: R33) -> str:
    """The text of an R33 file: what `parse_r33` reads back without loss."""
    reaction = data.reaction
    ion, product = nuclides.ion(reaction.ion), nuclides.ion(reaction.product)
    target = nuclides.target(reaction.target)
    z, mass = ion.z + target.z - product.z, ion.mass_u + target.mass_u - product.mass_u
    comment = [" ".join(line.split()) for line in data.comment.splitlines() if line.strip()]
    lines = ["Comment: " + "\n ".join(comment), ""] if comment else []
    lines += [
        "Version: R33",
        f"Source: {' '.join(data.source.split())}",
        f"Reaction: {reaction.full_name}",
        "Distribution: Energy",
        f"Masses: {ion.mass_u:.6g}, {target.mass_u:.6g}, {product.mass_u:.6g}, {mass:.6g}",
        f"Zeds: {ion.z}, {target.z}, {product.z}, {z}",
        "Qvalue: " + ", ".join(repr(float(q)) for q in data.q_keV),
        f"Theta: {float(data.theta_deg)!r}",
        "Sigfactors: 1.0, 0.0",
        "Enfactors: 1.0, 0.0, 0.0, 0.0",
        f"Units: {data.unit}",
        "Data:",
    ]
    columns = (data.energy_keV, data.energy_std_keV, data.value, data.value_std)
    lines += [", ".join(repr(float(x)) for x in row) for row in zip(*columns, strict=True)]
    return "\n".join([*lines, "EndData:", ""])


def write_r33(path: Path, data: R33 | CrossSection, comment: str = "") -> None:
    """Write a cross section as an R33 file; `comment` only for a `CrossSection`."""
    found = R33.of(data, comment) if isinstance(data, CrossSection) else data
    path.write_text(format_r33(found), encoding="utf-8")
