"""The file of a material system: a case whose unknown densities are ranges. `A`, `B`, `C` and `cusn-glass` are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError, model_validator

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.fields import DENSITY, read_number
from sdl_bluesky.data.yamlfile import FaultAt, at, check, located, read_mapping
from sdl_bluesky.errors import CrossSectionFileError, SDLError, UnknownName
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem, Prior

if TYPE_CHECKING:
    from sdl_bluesky.inference.rbs_mdn.training import Recipe

SHIPPED = ("A", "B", "C", "cusn-glass")


def _range(value: Any, unit: str) -> tuple[float, float]:
    """[low, high] with low < high."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("write a range as two numbers, [low, high]")
    low, high = (read_number(k, unit) for k in value)
    if not 0.0 <= low < high:
        raise ValueError(f"{list(value)} is no range: write two numbers of 0 or more, the smaller first")
    return low, high


def _density(value: Any) -> float | tuple[float, float]:
    """A number, or the range of one."""
    if isinstance(value, list | tuple):
        return _range(value, DENSITY)
    return read_number(value, DENSITY)


def _fluence(value: Any) -> tuple[float, float]:
    """The range of a factor; both ends may be the same."""
    same = isinstance(value, list | tuple) and len(value) == 2 and value[0] == value[1]
    low, high = (read_number(k, "its unit") for k in value) if same else _range(value, "its unit")
    if low <= 0.0:
        raise ValueError(f"{list(value)}: a factor on the fluence is over 0")
    return low, high


Density = Annotated[Any, BeforeValidator(_density)]
Fluence = Annotated[tuple[float, float], BeforeValidator(_fluence)]
Number = Annotated[StrictInt, Field(ge=1)]
Size = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Training(BaseModel):
    """How the network of a system is trained: what is named here replaces the defaults of `training.Recipe`.

    Attributes: those of `sdl_bluesky.inference.rbs_mdn.training.Recipe`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spectra: Number | None = None
    steps: Number | None = None
    batch: Number | None = None
    rate: Size | None = None
    decay: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    width: Number | None = None
    blocks: Number | None = None
    components: Number | None = None
    validation: Number | None = None
    seed: Annotated[StrictInt, Field(ge=0)] | None = None


class SystemFile(BaseModel):
    """A material system as it is written.

    Attributes:
        about: what it is, for people.
        prior: of the densities in their ranges, "uniform" or "log".
        fluence: range of the factor on the fluence, which is known of every spectrum.
        layers: from the surface; a number is a known density in 1e15 at/cm2, [low, high] the range of an unknown one.
        experiment: the other keys of a case: ion, E_keV, theta_deg, channels, roi, nuisance, ...
        training: how its network is trained, if not as usual.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1)]
    name: Annotated[str, Field(pattern=r"^[\w.+-]{1,60}$")]
    about: str = ""
    prior: Prior = "uniform"
    fluence: Fluence = (1.0, 1.0)
    layers: Annotated[tuple[dict[str, Density], ...], Field(min_length=1)]
    experiment: dict[str, Any]
    training: Training = Training()

    @model_validator(mode="after")
    def _whole(self) -> SystemFile:
        unknown = [k for k in self.experiment if k not in Case.model_fields or k in ("layers", "desc")]
        if unknown:
            known = ", ".join(k for k in Case.model_fields if k not in ("layers", "desc"))
            raise FaultAt(f"this key is not known here: an experiment has {known}", "experiment", unknown[0])
        for key in ("roi", "channels"):
            if self.experiment.get(key) is None:
                raise FaultAt(f"{key} is missing: a network needs to know its channels", "experiment")
        if not any(isinstance(value, tuple) for layer in self.layers for value in layer.values()):
            raise FaultAt("no density is unknown: give one a range, as in [50, 5000]", "layers")
        try:
            self.system()
        except FaultAt:
            raise
        except CrossSectionFileError as fault:
            raise FaultAt(str(fault), "experiment", "cross_sections") from fault
        except SDLError as fault:  # pydantic collects only ValueError
            raise FaultAt(str(fault)) from fault
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
    """A material system by its file, or by the name of a shipped one. Paths of R33 files are relative to its folder.

    Raises:
        LabFileError: the file is missing or has faults; all are named, with their lines.
        UnknownName: neither a file nor a shipped system.
    """
    return _read(where).system()


def recipe_of(where: Path | str, **changes: float | None) -> Recipe:
    """How the network of a system is trained: the defaults, what its file says, what is named here, the last one counts.

    Args:
        where: as for `read_system`.
        changes: fields of `Recipe`; None does not count.

    Raises:
        LabFileError, UnknownName: as `read_system`.
        OutOfRange: the numbers do not go together.
    """
    from sdl_bluesky.inference.rbs_mdn.training import Recipe  # torch takes its time

    written = _read(where).training.model_dump(exclude_none=True)
    with located(_path(where)), at("training"):
        usual = Recipe(**written)
    return replace(usual, **{name: value for name, value in changes.items() if value is not None})


def about_system(where: Path | str) -> Mapping[str, Any]:
    """The file as it is written, for people."""
    return read_mapping(_path(where))


def _read(where: Path | str) -> SystemFile:
    path = _path(where)
    content = read_mapping(path)
    experiment = content.get("experiment")
    tables = experiment.get("cross_sections") if isinstance(experiment, dict) else None
    if isinstance(experiment, dict) and isinstance(tables, list):
        experiment["cross_sections"] = [path.parent / k if isinstance(k, str) else k for k in tables]
    return check(content, SystemFile, str(path))


def _path(where: Path | str) -> Path:
    if str(where) in SHIPPED:
        return Path(str(files("sdl_bluesky.data.rbs") / "systems" / f"{where}.yml"))
    path = Path(where)
    if not path.suffix and not path.exists():
        raise UnknownName("material system (or file ending in .yml)", str(where), SHIPPED)
    return path
