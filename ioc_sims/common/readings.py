"""What every instrument shows of itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ioc_sims.common.instrument import Guarded, Instrument

Reading = float | int | str | NDArray[np.int32] | NDArray[np.float64]


def service_readings(instrument: Instrument, plant: Guarded) -> dict[str, Reading]:
    """Values of the readbacks of `serving.service_records` (the counters of the process itself excepted)."""
    values: dict[str, Reading] = {f"INTERLOCK:{name}": int(not bad) for name, bad in instrument.interlock.bad.items()}
    values["INTERLOCK:OK"] = int(instrument.interlock.ok)
    values["INTERLOCK:CAUSE"] = instrument.interlock.cause
    values["HEARTBEAT:TIMEOUT"] = instrument.watchdog.timeout_s
    values["SIM:TIME"] = plant.time_s
    return values
