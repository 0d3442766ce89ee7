"""A mass flow controller."""

from __future__ import annotations

import math
from typing import Any

from ophyd import Component as Cpt

from .base import LabDevice
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
