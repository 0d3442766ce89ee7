"""The lab file: one YAML text that says what the lab consists of, checked before anything is built from it.

Everything that differs between two laboratories stands here: addresses, instruments and their places, ranges,
tolerances, the catalogue. Quantities are written with their units, see `sdl_bluesky.physics.quantity`.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sdl_bluesky.data.yamlfile import read_yaml
from sdl_bluesky.errors import LabFileError
from sdl_bluesky.physics.quantity import Seconds
from sdl_bluesky.session.lab_approval import ApprovalPart
from sdl_bluesky.session.lab_catalogue import CataloguePart
from sdl_bluesky.session.lab_chamber import ChamberPart
from sdl_bluesky.session.lab_mocvd import MOCVDPart
from sdl_bluesky.session.lab_rbs import RBSPart
from sdl_bluesky.session.part import EpicsPart, Part

Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=64)]


class TwinPart(Part):
    """Simulated instruments instead of real ones; left out of a real lab's file."""

    speed: float = Field(default=100.0, ge=1.0, le=1000.0)
    seed: int = Field(default=0, ge=0)
    faults: bool = False
    heartbeat_timeout: Seconds = 3.0
    physics: dict[str, float | str | dict[str, float]] = Field(default_factory=dict)


class LabFile(Part):
    """The whole lab."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    prefix: str = Field(min_length=1)
    operator: str = ""
    tags: tuple[Tag, ...] = ()
    epics: EpicsPart = EpicsPart()
    catalogue: CataloguePart = CataloguePart()
    twin: TwinPart | None = None
    chamber: ChamberPart
    rbs: RBSPart | None = None
    mocvd: MOCVDPart | None = None
    approval: ApprovalPart | None = None

    @model_validator(mode="after")
    def _addresses(self) -> LabFile:
        if self.twin is None:
            places = {"epics": self.epics, **{f"{name}.epics": part.epics for name, part in self._others.items()}}
            for place, part in places.items():
                if part is not None and part.port == "auto":
                    raise ValueError(f"{place}.port is 'auto', which needs a twin: give the IOC's port (usually 5064)")
        return self

    @model_validator(mode="after")
    def _machines(self) -> LabFile:
        stubs = {p.pv: n for n, p in [*self.chamber.sources.items(), *self.chamber.sensors.items()]}
        names = list(stubs.values())
        taken = {"rbs": ("station", "RBS end station"), "mocvd": ("reactor", "MOCVD reactor")}
        for machine, part in self._others.items():
            if part.pv in stubs:
                raise ValueError(f"pv {part.pv!r} is used twice: by {machine} and by {stubs[part.pv]}")
            stubs[part.pv] = machine
            own, kind = taken[machine]
            wrong = [n for n in names if n == own or n.startswith(f"{machine}_")]
            if wrong:
                raise ValueError(f"names of the {kind}'s devices cannot be used: {', '.join(wrong)}")
        return self

    @model_validator(mode="after")
    def _asked(self) -> LabFile:
        patterns = [k for rule in (() if self.approval is None else self.approval.rules) for k in rule.steps]
        for source in (k.removeprefix("learn:") for k in patterns if k.startswith("learn:")):
            if "*" not in source and source not in self.chamber.sources:
                raise ValueError(f"approval: there is no source {source!r}, only {', '.join(self.chamber.sources)}")
        return self

    @property
    def _others(self) -> dict[str, RBSPart | MOCVDPart]:
        """The machines beside the sputter chamber, by the name of their IOC."""
        found = {"rbs": self.rbs, "mocvd": self.mocvd}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def iocs(self) -> tuple[str, ...]:
        """Names of the IOCs that serve the lab's machines."""
        return ("sputter", *self._others)

    def epics_of(self, ioc: str) -> EpicsPart:
        """Where an IOC answers.

        Raises:
            LabFileError: the lab has no such machine.
        """
        if ioc not in self.iocs:
            raise LabFileError(f"lab {self.name!r} has no {ioc!r}: add that part to its file")
        own = self._others[ioc].epics if ioc in self._others else self.epics
        if own is not None:
            return own
        return self.epics if self.twin is None else EpicsPart(host=self.epics.host)

    def prefix_of(self, ioc: str) -> str:
        """Prefix of the PVs of an IOC."""
        return self.prefix + self._others[ioc].pv if ioc in self._others else self.prefix

    @cached_property
    def sha256(self) -> str:
        """Hash of the content, the same for two files that say the same."""
        # a lab without keeps the hash it had
        left_out: dict[str, Any] = {name: True for name in ("rbs", "mocvd") if name not in self._others}
        if self.approval is None:
            left_out["approval"] = True
        if not self.tags:
            left_out["tags"] = True
        if self.catalogue.keys is None:
            left_out["catalogue"] = {"keys"}
        unsaid = {name for name in ("reactive", "target_numbers") if not getattr(self.chamber, name)}
        if unsaid:
            left_out["chamber"] = unsaid
        return hashlib.sha256(self.model_dump_json(exclude=left_out or None).encode()).hexdigest()

    def geometry(self) -> dict[str, Any]:
        """What an analysis needs to know of the chamber, for every start document (plain types; cm, mm, W, mTorr)."""
        chamber = self.chamber
        told: dict[str, Any] = {
            "sources": {
                n: {"element": s.element, "position_cm": list(s.position_cm), "axis": list(s.axis)}
                for n, s in chamber.sources.items()
            },
            "sensors": {
                n: {"position_cm": list(q.position_cm), "normal": [0.0, 0.0, 1.0], "f0_Hz": q.crystal}
                for n, q in chamber.sensors.items()
            },
            "tooling_std": chamber.measurement.tooling / 100.0,
            "map": {
                "x_mm": [*chamber.map.x, chamber.map.points],
                "y_mm": [*chamber.map.y, chamber.map.points],
            },
            "ranges": {"power_W": list(chamber.ranges.power), "pressure_mTorr": list(chamber.ranges.pressure)},
        }
        if chamber.reactive is None:
            return told
        return {**told, "lines_nm": {**chamber.lines_nm, "reference": chamber.reactive.reference}}


def default_lab_path() -> Path:
    """The lab file that is shipped with the package: a simulated chamber with four sources and three QCMs."""
    return Path(str(files("sdl_bluesky.session") / "lab.yml"))


def load_lab(path: Path | str | None = None) -> LabFile:
    """Read and check a lab file (the shipped one by default).

    Raises:
        UnitError, LabFileError: see `sdl_bluesky.data.yamlfile`.
    """
    return read_yaml(Path(path) if path is not None else default_lab_path(), LabFile)
