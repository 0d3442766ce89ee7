"""A simulated reactor for tests: its configuration, and a client on a clock that the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ioc_sims.mocvd.reactor import Reactor
from ioc_sims.mocvd.settings import ReactorConfig
from ioc_sims.mocvd.state import load_plant

QUIET = {
    "bad_run_fraction": 0.0,
    "run_x_log_odds": 0.0,
    "run_y_log_odds": 0.0,
    "line_first_sd": 0.0,
    "line_drift_sd": 0.0,
    "offset_first_sd_degC": 0.0,
    "rate_sd": 0.0,
    "profile_x": 0.0,
    "profile_y": 0.0,
    "flow_wander": 0.0,
    "flow_noise": 0.0,
    "pl_calibration_nm": 0.0,
    "pl_pixel_nm": 0.0,
    "pl_dead_fraction": 0.0,
    "xrd_zero_deg": 0.0,
    "xrd_mount_deg": 0.0,
    "xrd_scale": 0.0,
}


def raw_reactor(folder: Path, quiet: bool = False, physics: dict[str, Any] | None = None, **changes: Any) -> dict:
    """A configuration as JSON; `quiet=True` switches every noise and spread off."""
    return {
        "schema": 1,
        "prefix": "SDL:MOCVD:",
        "speed": 10.0,
        "seed": 0,
        "heartbeat_timeout_s": 3.0,
        "faults": True,
        "state_file": str(folder / "mocvd-state.json"),
        "truth_file": str(folder / "mocvd-truth.json"),
        "physics": {**(QUIET if quiet else {}), **(physics or {})},
        **changes,
    }


def make_reactor(folder: Path, **options: Any) -> ReactorConfig:
    """The same, checked."""
    return ReactorConfig.model_validate(raw_reactor(folder, **options))


class Client:
    """A reactor with a client whose heart beats as long as `run(beat=True)`."""

    def __init__(self, config: ReactorConfig, speed: float = 10.0) -> None:
        self.now = 1000.0
        self.plant = load_plant(config)
        self.reactor = Reactor(self.plant, speed, config.heartbeat_timeout_s, lambda: self.now)

    def run(self, simulated_s: float, beat: bool = True) -> None:
        """Let time pass at the reactor's speed, in publications of 0.1 s."""
        for _ in range(max(round(simulated_s / self.reactor.speed * 10), 1)):
            self.now += 0.1
            self.reactor.catch_up()
            if beat:
                self.reactor.heartbeat()

    def gases(self) -> None:
        """A wafer, carrier, rotation, phosphine in run."""
        reactor = self.reactor
        assert reactor.heartbeat()
        assert reactor.load()
        assert reactor.set_flow("H2", 16000.0)
        assert reactor.set_rotation(900.0)
        assert reactor.set_flow("P", 300.0)
        self.run(40.0)
        assert reactor.set_valve("P", True)

    def hot(self) -> None:
        """As above, at 650 degC, with the flows of the paper's first target waiting in the vent."""
        self.gases()
        assert self.reactor.set_temperature(650.0)
        self.run(600.0)
        assert abs(self.plant.susceptor.value - 650.0) < 0.5
        for name, sccm in (("IN", 25.0), ("GA", 5.971), ("AS", 11.2)):
            assert self.reactor.set_flow(name, sccm)
        self.run(20.0)

    def growing(self, seconds: float = 300.0) -> None:
        """As above, with the quaternary growing."""
        self.hot()
        reactor = self.reactor
        assert reactor.set_valve("AS", True)
        assert reactor.set_duration(seconds)
        assert reactor.arm("IN", True)
        assert reactor.arm("GA", True)
        self.run(5.0)
        assert reactor.start_growth()
