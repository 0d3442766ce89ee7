"""The file of a material system: a case whose unknown densities are ranges. `A`, `B`, `C` and `cusn-glass` are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.yamlfile import FaultAt, read_mapping, read_yaml
from sdl_bluesky.errors import UnknownName
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem, Prior

SHIPPED = ("A", "B", "C", "cusn-glass")
Range = Annotated[tuple[float, float], Field(strict=False)]


class SystemFile(BaseModel):
    """A material system as it is written.

    Attributes:
        about: what it is, for people.
        prior: of the densities in their ranges, "uniform" or "log".
        fluence: range of the factor on the fluence, which is known of every spectrum.
        layers: from the surface; a number is a known density in 1e15 at/cm2, [low, high] the range of an unknown one.
        experiment: the other keys of a case: ion, E_keV, theta_deg, channels, roi, nuisance, ...
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1)]
    name: Annotated[str, Field(pattern=r"^[\w.+-]{1,60}$")]
    about: str = ""
    prior: Prior = "uniform"
    fluence: Range = (1.0, 1.0)
    layers: Annotated[tuple[dict[str, float | Range], ...], Field(min_length=1)]
    experiment: dict[str, Any]

    @field_validator("layers")
    @classmethod
    def _rising(cls, layers: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for i, layer in enumerate(layers):
            for element, value in layer.items():
                if isinstance(value, tuple) and not 0.0 <= value[0] < value[1]:
                    raise FaultAt(f"{list(value)} is no range: write the smaller density first", i, element)
        return layers

    @model_validator(mode="after")
    def _whole(self) -> SystemFile:
        unknown = [k for k in self.experiment if k not in Case.model_fields or k in ("layers", "desc")]
        if unknown:
            known = ", ".join(k for k in Case.model_fields if k not in ("layers", "desc"))
            raise FaultAt(f"this key is not known here: an experiment has {known}", "experiment", unknown[0])
        for key in ("roi", "channels"):
            if self.experiment.get(key) is None:
                raise FaultAt(f"{key} is missing: a network needs to know its channels", "experiment")
        self.system()
        return self

    def case(self) -> Case:
        """The case of the thickest sample."""
        layers = [{k: v[1] if isinstance(v, tuple) else v for k, v in layer.items()} for layer in self.layers]
        try:
            return Case.model_validate({**self.experiment, "layers": layers})
        except ValidationError as fault:
            first = fault.errors()[0]
            inside = first["loc"] if first["loc"][:1] == ("layers",) else ("experiment", *first["loc"])
            raise FaultAt(first["msg"].removeprefix("Value error, "), *inside) from fault

    def system(self) -> MaterialSystem:
        """What the file describes."""
        case = self.case()
        return MaterialSystem(
            name=self.name,
            setup=case.setup(),
            layers=self.layers,
            roi=tuple((int(a), int(b)) for a, b in case.roi or ()),
            prior=self.prior,
            nuisance=case.priors(),
            fluence=self.fluence,
        )


def read_system(where: Path | str) -> MaterialSystem:
    """A material system by its file, or by the name of a shipped one.

    Raises:
        LabFileError: the file is missing or has faults; all are named, with their lines.
        UnknownName: neither a file nor a shipped system.
    """
    return read_yaml(_path(where), SystemFile).system()


def about_system(where: Path | str) -> Mapping[str, Any]:
    """The file as it is written, for people."""
    return read_mapping(_path(where))


def _path(where: Path | str) -> Path:
    if str(where) in SHIPPED:
        return Path(str(files("sdl_bluesky.data.rbs") / "systems" / f"{where}.yml"))
    path = Path(where)
    if not path.suffix:
        raise UnknownName("material system (or file ending in .yml)", str(where), SHIPPED)
    return path
