"""Growing a stack as a laboratory does, in the safe order, but without waiting for a clock on the wall."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, Field

from ioc_sims.common.config import STRICT
from ioc_sims.common.errors import RequestError
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.sequence import State

_SETTLE_S = 10.0
_SOAK_S = 60.0
_PAUSE_S = 5.0  # between layers, under hydrides alone
_LIMIT_S = 3600.0


class Recipe(BaseModel):
    """The paper's stack if nothing else is said: 200 nm InP, 200 nm InGaAsP, 65 nm InP at 650 degC and 900 rpm.

    Flows in sccm, thicknesses in nm; how long a layer takes follows from `rate_nm_s` of InP and the metals' flows.
    """

    model_config = STRICT

    f_ga: float = Field(ge=0, le=20)
    f_as: float = Field(ge=0, le=50)
    f_in: float = Field(default=25.0, gt=0, le=50)
    f_p: float = Field(default=300.0, gt=3, le=500)
    f_h2: float = Field(default=16000.0, ge=2000, le=30000)
    temperature: float = Field(default=650.0, ge=450, le=750)
    rotation: float = Field(default=900.0, gt=0, le=1500)
    buffer: float = Field(default=200.0, ge=0, le=2000)
    thickness: float = Field(default=200.0, gt=0, le=2000)
    cap: float = Field(default=65.0, ge=0, le=2000)
    rate_nm_s: float = Field(default=0.5, gt=0)
    gallium_rate: float = Field(default=0.044, ge=0, description="relative gain of the rate per sccm of Ga")


def grow(plant: Plant, recipe: Recipe) -> None:
    """Load a wafer, grow the stack, cool down under phosphine, unload.

    Raises:
        RequestError: the reactor does not get where it should.
    """
    r = recipe
    plant.load()
    plant.set_flow("H2", r.f_h2)
    plant.rotation_setpoint = r.rotation
    plant.set_flow("P", r.f_p)
    plant.advance(3 * _SETTLE_S)
    plant.switch(("P",), True)
    plant.heat(r.temperature)
    _wait(plant, lambda: abs(plant.susceptor.value - r.temperature) < 1, f"{r.temperature:g} degC")
    for name, sccm in (("IN", r.f_in), ("GA", r.f_ga), ("AS", r.f_as)):
        plant.set_flow(name, sccm)
    plant.advance(_SOAK_S)
    _layer(plant, ("IN",), r.buffer / r.rate_nm_s)
    plant.switch(("AS",), r.f_as > 0)
    plant.advance(_PAUSE_S)
    lines = ("IN", "GA") if r.f_ga > 0 else ("IN",)
    _layer(plant, lines, r.thickness / (r.rate_nm_s * (1 + r.gallium_rate * r.f_ga)))
    plant.switch(("AS",), False)
    plant.advance(_PAUSE_S)
    _layer(plant, ("IN",), r.cap / r.rate_nm_s)
    plant.heat(0.0)
    for name in ("IN", "GA", "AS"):
        plant.set_flow(name, 0.0)
    _wait(plant, lambda: plant.susceptor.value < plant.settings.protect_degC, "the end of the protection")
    plant.switch(("P",), False)
    plant.set_flow("P", 0.0)
    plant.rotation_setpoint = 0.0
    _wait(plant, lambda: plant.touchable, "cold and still")
    plant.unload()


def _layer(plant: Plant, lines: tuple[str, ...], seconds: float) -> None:
    if seconds <= 0:
        return
    plant.switch(lines, True, seconds)
    plant.advance(seconds)
    if plant.sequence.state is not State.DONE:
        raise RequestError(f"the growth with {', '.join(lines)} did not end as it should")


def _wait(plant: Plant, reached: Callable[[], bool], what: str) -> None:
    since = plant.time_s
    while not reached():
        if plant.time_s - since > _LIMIT_S:
            raise RequestError(f"the reactor does not reach {what} within {_LIMIT_S:g} s")
        plant.advance(1.0)
