"""Studies on a simulated reactor without EPICS and without a clock on the wall: requests in, what was measured out.

    {"do": "grow", "f_ga": 5.0, "f_as": 9.0}          -> {"wafer", "maintenance"}; optional "thickness" [nm] and
        others of `recipe.Recipe`
    {"do": "sample", "f_ga": 5.0, "f_as": 9.0}        -> {"wafer", "wavelength", "lattice"}: a layer grown from steady
        flows, with the errors of the instruments as numbers; a thousand times as fast as to grow and to measure
    {"do": "measure", "wafer": 1}                     -> {"map_nm", "axis_mm", "two_theta_deg", "counts"}
    {"do": "maintain"}                                -> {"maintenance"}
    {"do": "new", "seed": 3}                          -> {"seed"}: another reactor
    {"do": "score", "wafer": 1, "result": {...}}      -> errors of a result (ioc_sims.mocvd.scoring)
    {"do": "specification", "wafers": [1, 2], "target": {"wavelength": 1180, "lattice": 5.8688}} -> {"runs"}

The truth never leaves: only what instruments show, and figures of a judge. {"error": text} answers what cannot be done.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ioc_sims.common.config import STRICT, read_json, validated
from ioc_sims.common.errors import RequestError, SimulationError
from ioc_sims.mocvd import photoluminescence as pl
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.recipe import Recipe, grow
from ioc_sims.mocvd.sample import sample
from ioc_sims.mocvd.scoring import Target, layer_score, runs_to_target
from ioc_sims.mocvd.settings import ReactorConfig
from ioc_sims.mocvd.truth import truth

Reply = dict[str, Any]


class Grow(Recipe):
    """Grow a stack on a fresh wafer."""

    do: Literal["grow"]


class Sample(BaseModel):
    """Grow 200 nm from steady flows, all else at the reference, and be told what instruments would show."""

    model_config = STRICT
    do: Literal["sample"]
    f_ga: float = Field(gt=0, le=20)
    f_as: float = Field(gt=0, le=50)


class Measure(BaseModel):
    """A map of the wavelength and a scan around (004)."""

    model_config = STRICT
    do: Literal["measure"]
    wafer: int = Field(ge=1)


class Maintain(BaseModel):
    """Do a maintenance."""

    model_config = STRICT
    do: Literal["maintain"]


class New(BaseModel):
    """Go on with another reactor."""

    model_config = STRICT
    do: Literal["new"]
    seed: int = Field(ge=0)


class Score(BaseModel):
    """Compare a result with the truth."""

    model_config = STRICT
    do: Literal["score"]
    wafer: int = Field(ge=1)
    result: dict[str, float]


class Specification(BaseModel):
    """How many of these runs it took."""

    model_config = STRICT
    do: Literal["specification"]
    wafers: list[int]
    target: dict[Literal["wavelength", "lattice"], float]


Request = Annotated[Grow | Sample | Measure | Maintain | New | Score | Specification, Field(discriminator="do")]
_REQUEST: TypeAdapter[Any] = TypeAdapter(Request)


class Batch:
    """A plant that answers requests.

    Args:
        config: of the reactor; a new one, whatever its state file holds.
    """

    def __init__(self, config: ReactorConfig) -> None:
        self._config = config
        self.plant = Plant(config)

    def answer(self, content: Any) -> Reply:
        """Do what a request says; the reply, or {"error": text}."""
        try:
            request = _REQUEST.validate_python(content)
            return self._do(request)
        except ValidationError as err:
            faults = (f"{'.'.join(map(str, e['loc'])) or 'request'}: {e['msg']}" for e in err.errors())
            return {"error": "; ".join(faults)}
        except SimulationError as err:
            return {"error": str(err)}

    def _do(self, request: Grow | Sample | Measure | Maintain | New | Score | Specification) -> Reply:
        match request:
            case Grow():
                grow(self.plant, request)
                return {"wafer": len(self.plant.wafers), "maintenance": self.plant.maintenance}
            case Sample():
                return sample(self.plant, request.f_ga, request.f_as)
            case Measure():
                return self._measure(request.wafer)
            case Maintain():
                self.plant.maintain()
                return {"maintenance": self.plant.maintenance}
            case New():
                self.plant = Plant(self._config.model_copy(update={"seed": request.seed}))
                return {"seed": request.seed}
            case Score():
                return asdict(layer_score(truth(self.plant), request.wafer, request.result))
            case Specification():
                if set(request.target) != {"wavelength", "lattice"}:
                    raise RequestError("target: needs wavelength [nm] and lattice [Angstrom]")
                target = Target(request.target["wavelength"], request.target["lattice"])
                return {"runs": runs_to_target(truth(self.plant), request.wafers, target)}

    def _measure(self, number: int) -> Reply:
        plant = self.plant
        if number not in plant.wafers:
            raise RequestError(f"there is no wafer {number}, only {len(plant.wafers)} so far")
        mapper, scan = plant.mapper, plant.diffractometer
        mapper.wafer = scan.wafer = plant.wafers[number]
        mapper.begin(mapping=True)
        scan.begin()
        while mapper.busy or scan.busy:
            plant.advance(max(mapper.left_s, scan.left_s))
        mapper.wafer = scan.wafer = None
        return {
            "map_nm": [[None if np.isnan(nm) else float(nm) for nm in row] for row in mapper.map_nm],
            "axis_mm": pl.AXIS_MM.tolist(),
            "two_theta_deg": scan.two_theta_deg.tolist(),
            "counts": scan.counts.tolist(),
        }


def load_batch_config(path: Path) -> ReactorConfig:
    """Read the configuration of a study; the two files may be absent.

    Raises:
        ConfigError: one line that names the file, the key and what is wrong with it.
    """
    content = read_json(path)
    if isinstance(content, dict):
        content = {"state_file": "none", "truth_file": "none", **content}
    return validated(str(path), content, ReactorConfig)


def serve(batch: Batch, requests: TextIO, replies: TextIO) -> None:
    """Answer each line until the input ends."""
    for text in requests:
        if not text.strip():
            continue
        try:
            reply = batch.answer(json.loads(text))
        except ValueError as err:
            reply = {"error": f"not JSON ({err})"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
