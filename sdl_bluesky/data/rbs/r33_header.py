"""The keywords of an R33 file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sdl_bluesky.data.rbs.reactions import Reaction, from_name, from_numbers
from sdl_bluesky.data.rbs.text import number, shown
from sdl_bluesky.errors import CrossSectionFileError, SDLError
from sdl_bluesky.physics.rbs import nuclides

_LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*(?: ?[A-Za-z0-9]+)?)\s*:(.*)", re.ASCII)
_KNOWN = {"version", "source", "name", "serialnumber", "serial", "subfile", "x4number", "reaction", "distribution"}
_KNOWN |= {"composition", "masses", "zeds", "qvalue", "theta", "energy", "sigfactors", "enfactors", "units", "nvalues"}
_KNOWN |= {f"address{i}" for i in range(1, 10)}
_UNITS = {"mb": ("mb", 1.0), "mb/sr": ("mb", 1.0), "b/sr": ("mb", 1e3), "rr": ("rr", 1.0)}


@dataclass(frozen=True)
class Header:
    """What stands before the data.

    Attributes:
        data_line: index of the first line of data.
        energy_factor: from the file's energies to keV.
        value_factor: from the file's values to `unit`.
    """

    reaction: Reaction
    theta_deg: float
    unit: str
    q_keV: tuple[float, ...]
    data_line: int
    energy_factor: float = 1.0
    value_factor: float = 1.0
    source: str = ""
    comment: str = ""
    findings: tuple[str, ...] = ()


@dataclass
class _Raw:
    """Keyword -> (line number from 1, text)."""

    where: str
    entries: dict[str, tuple[int, str]] = field(default_factory=dict)
    comment: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    data_line: int = -1

    def text(self, key: str) -> str:
        return self.entries.get(key, (0, ""))[1]

    def fault(self, key: str, what: str) -> CrossSectionFileError:
        return CrossSectionFileError(self.where, what, self.entries[key][0] if key in self.entries else None)

    def numbers(self, key: str, *default: float) -> tuple[float, ...]:
        """The numbers of a keyword; the default where the file leaves them out."""
        tokens = self.text(key).replace(",", " ").split()
        found = [number(token) for token in tokens]
        for token, value in zip(tokens, found, strict=True):
            if value is None:
                raise self.fault(key, f"{key.capitalize()}: {shown(token)} is no number; write it as 1234.5")
        return tuple(v for v in found if v is not None) or default


def parse_header(lines: Sequence[str], where: str) -> Header:
    """Read the keywords up to the data.

    Raises:
        CrossSectionFileError: a keyword is missing or has no meaning here.
    """
    raw = _collect(lines, where)
    missing = [name for name in ("Reaction", "Theta", "Units") if not raw.text(name.lower())]
    if "Reaction" in missing and raw.text("zeds") and raw.text("masses"):
        missing.remove("Reaction")
    if missing:
        what = f"no {', '.join(missing)} before the data: complete the file"
        raise CrossSectionFileError(where, what + " (a Comment ends with an empty line)")
    reaction = _reaction(raw)
    unit, factor = _unit(raw)
    return Header(
        reaction=reaction,
        theta_deg=_theta(raw),
        unit=unit,
        q_keV=_q_values(raw, reaction),
        data_line=raw.data_line,
        energy_factor=_energy_factor(raw),
        value_factor=factor * _value_factor(raw),
        source=raw.text("source"),
        comment="\n".join(raw.comment),
        findings=tuple(raw.findings),
    )


def _collect(lines: Sequence[str], where: str) -> _Raw:
    raw, in_comment = _Raw(where), False
    for index, line in enumerate(lines):
        match = _LINE.match(line)
        key = match[1].replace(" ", "").lower() if match else ""
        if not line.strip():
            in_comment = False
        elif match and key == "comment":
            in_comment = True
            raw.comment += [match[2].strip()] if match[2].strip() else []
        elif in_comment and key != "version":
            raw.comment.append(line.strip())
        elif match and key == "data":
            raw.data_line = index + 1
            return raw
        elif match and key in _KNOWN:
            in_comment = False
            if key in raw.entries:
                first = raw.entries[key][0]
                raise CrossSectionFileError(
                    where, f"{match[1]} stands here again (first in line {first}): keep one", index + 1
                )
            raw.entries[key] = (index + 1, match[2].strip())
        else:
            raw.findings.append(f"line {index + 1} was not used: {shown(line)}")
    raise CrossSectionFileError(where, "there is no line 'Data:': this is no R33 file, or it was cut short")


def _reaction(raw: _Raw) -> Reaction:
    text, zeds, masses = raw.text("reaction"), raw.numbers("zeds"), raw.numbers("masses")
    try:
        found = from_name(text)
        if found is None and zeds and masses:
            return from_numbers(zeds, masses)
    except SDLError as fault:
        what = f"{fault}; only ions of hydrogen and helium can be simulated and detected"
        raise raw.fault("reaction", what) from fault
    if found is None:
        raise raw.fault("reaction", f"{shown(text)} is no reaction: write it as 7Li(p,a)4He")
    charges = _charges(found)
    if len(zeds) >= 3 and zeds[:3] != charges:
        if sorted(zeds[:3]) != sorted(charges):
            listed = ", ".join(f"{z:g}" for z in zeds)
            raise raw.fault("zeds", f"Zeds are {listed}, but Reaction says {found.name}: correct one of them")
        raw.findings.append(f"Zeds stand in another order than in {found.name}: Reaction was used")
    return found


def _charges(reaction: Reaction) -> tuple[int, int, int]:
    return (
        nuclides.ion(reaction.ion).z,
        nuclides.target(reaction.target).z,
        nuclides.ion(reaction.product).z,
    )


def _theta(raw: _Raw) -> float:
    if raw.text("distribution").lower().startswith("a"):
        raise raw.fault("distribution", "this is an angular distribution: a table over energies at one angle is needed")
    theta = raw.numbers("theta")
    if len(theta) != 1 or not 0.0 < theta[0] <= 180.0:
        raise raw.fault("theta", f"Theta: {shown(raw.text('theta'))} must be one angle in degrees, over 0 to 180")
    return theta[0]


def _unit(raw: _Raw) -> tuple[str, float]:
    unit = raw.text("units").lower()
    if unit not in _UNITS:
        what = "a total cross section has no angle: " if unit == "tot" else ""
        what += f"Units: {shown(raw.text('units'))} cannot be used; mb (mb/sr, laboratory frame), b/sr or rr can"
        raise raw.fault("units", what)
    return _UNITS[unit]


def _q_values(raw: _Raw, reaction: Reaction) -> tuple[float, ...]:
    q = raw.numbers("qvalue")
    while len(q) > 1 and q[-1] == 0.0:
        q = q[:-1]
    ground = reaction.q_ground_keV()
    if not q and not reaction.elastic_ion:
        known = "" if ground is None else f"; to the ground state it is {ground:.0f}"
        raise CrossSectionFileError(raw.where, f"no Qvalue for {reaction.name}: write it in keV{known}")
    q = q or (0.0,)
    if ground is not None and 0.0 < abs(q[0]) < 100.0 and abs(1e3 * q[0] - ground) < 0.1 * abs(ground):
        raise raw.fault("qvalue", f"Qvalue: {q[0]:g} is in MeV, R33 wants keV: write {1e3 * q[0]:g}")
    if len(q) > 1:
        raw.findings.append(f"{len(q)} Q values: product energies are those of the first, {q[0]:g} keV")
    return q


def _value_factor(raw: _Raw) -> float:
    factor = raw.numbers("sigfactors", 1.0)[0]
    if factor <= 0.0:
        raise raw.fault("sigfactors", f"Sigfactors: the factor {factor:g} must be positive")
    return factor


def _energy_factor(raw: _Raw) -> float:
    factors = raw.numbers("enfactors", 1.0)
    if factors[0] <= 0.0 or any(factors[1:]):
        what = "Enfactors: only a positive first factor can be used, the others must be 0"
        raise raw.fault("enfactors", what + ": apply them to the energies, then write 1, 0, 0, 0")
    return factors[0]
