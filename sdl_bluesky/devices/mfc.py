"""Mass flow controllers."""

from __future__ import annotations

import math
from typing import Any

from ophyd import Component as Cpt

from .base import LabDevice, put_now
from .pausing import Pausing, SafeStep
from .positioner import Positioner


class MassFlowController(LabDevice):
    """Gas flow in sccm.

    Args:
        max_flow_sccm: the lab's own limit; the record's limits hold as well.
        atol_sccm, rtol: tolerance of a move, absolute and relative to the target.
        timeout_s: real seconds within which a flow must be reached.
    """

    flow = Cpt(Positioner, "FLOW", unit="sccm", atol=0.5, rtol=0.01, timeout_s=60.0, safe_target=0.0, kind="hinted")

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        max_flow_sccm: float = math.inf,
        atol_sccm: float = 0.5,
        rtol: float = 0.01,
        timeout_s: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.flow.own_limits = (0.0, max_flow_sccm)
        self.flow.atol, self.flow.rtol, self.flow.timeout_s = atol_sccm, rtol, timeout_s


class ReactiveGas(Pausing):
    """Flow of a gas that reacts with targets and films, in sccm: part of the safe state is that it is closed.

    Opening it needs the interlock. Args as those of `MassFlowController`.
    """

    flow = Cpt(
        Positioner,
        "FLOW",
        unit="sccm",
        atol=0.02,
        rtol=0.01,
        timeout_s=60.0,
        safe_target=0.0,
        needs_interlock=True,
        kind="hinted",
    )

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        max_flow_sccm: float = math.inf,
        atol_sccm: float = 0.02,
        rtol: float = 0.01,
        timeout_s: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.flow.own_limits = (0.0, max_flow_sccm)
        self.flow.atol, self.flow.rtol, self.flow.timeout_s = atol_sccm, rtol, timeout_s

    def safe_steps(self) -> list[SafeStep]:
        """Close it."""
        return [(f"close {self.flow.name}", lambda: put_now(self.flow.setpoint, 0.0))]
