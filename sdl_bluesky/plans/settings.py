"""How the process is run: times, tolerances, ignition. All times are process time, simulated seconds on a twin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SputterSettings:
    """Settings of the sputter plans.

    Attributes:
        settle_s: wait after power and pressure are reached.
        baseline_s: how long the zero rate of the crystals is measured before a shutter opens.
        transient_s: how long the crystals are not believed after a shutter has moved.
        shortest_s: least measurement after the transient.
        longest_s: longest one.
        precision: wanted relative standard error of the first sensor's rate; reached earlier, the measurement stops.
        ignition_pressure_mTorr: where a plasma is lit, well above the pressure at which it goes out.
        ignition_power_W: power at which it is lit.
        ignition_timeout_s: how long to wait for it (real seconds, as every timeout).
        flow_per_pressure: first guess of the gas flow for a pressure [sccm/mTorr].
        pressure_tolerance: relative tolerance of the pressure.
        pump_s: wait after each change of the flow before the gauge is believed.
        descent_step: relative step of the pressure where a plasma may go out.
        descent_s: wait after each such step.
        reactive_wait_s: wait after each change of the oxygen before target and films are believed to be steady.
        reactive_measure_s: how long rates and light are then measured.
    """

    settle_s: float = 15.0
    baseline_s: float = 60.0
    transient_s: float = 40.0
    shortest_s: float = 30.0
    longest_s: float = 240.0
    precision: float = 0.007
    ignition_pressure_mTorr: float = 12.0
    ignition_power_W: float = 50.0
    ignition_timeout_s: float = 20.0
    flow_per_pressure: float = 5.0
    pressure_tolerance: float = 0.02
    pump_s: float = 10.0
    descent_step: float = 0.04
    descent_s: float = 5.0
    reactive_wait_s: float = 60.0
    reactive_measure_s: float = 90.0
