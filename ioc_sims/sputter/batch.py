"""Studies on the simulated chamber without EPICS and without a clock on the wall: requests in, readings and scores out.

The truth never leaves: what a request gets is what instruments show, and figures of a judge.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from ioc_sims.common.config import read_json, validated
from ioc_sims.common.errors import RequestError, SimulationError
from ioc_sims.sputter import reactive_study, verdicts
from ioc_sims.sputter.operation import Course, Operator, Rows
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.requests import (
    Age,
    Deposit,
    Exchange,
    Measure,
    MeasurePoints,
    New,
    Reactive,
    Read,
    Request,
    ScoreMap,
    ScorePlasma,
    ScoreRate,
    ScoreReactive,
    read_request,
)
from ioc_sims.sputter.settings import ChamberConfig

Reply = dict[str, Any]


class Batch:
    """A plant that answers requests.

    Args:
        config: of the chamber; a new one, whatever its state file holds.
    """

    def __init__(self, config: ChamberConfig) -> None:
        self._config = config
        self.plant = Plant(config)
        self._operator = Operator(self.plant)
        self._swept: reactive_study.Truth | None = None

    def answer(self, content: Any) -> Reply:
        """Do what a request says.

        Args:
            content: the request as JSON has it.

        Returns:
            The reply, or {"error": text}.
        """
        try:
            return self._do(read_request(content))
        except SimulationError as err:
            return {"error": str(err)}

    def _do(self, request: Request) -> Reply:
        match request:
            case Measure():
                return self._measure(request)
            case Deposit():
                return self._deposit(request)
            case Age():
                return self._age(request)
            case Exchange():
                return self._exchange(request)
            case New():
                return self._new(request)
            case Read():
                return {"readings": self._operator.read(), "substrate": self.plant.substrate_number}
            case MeasurePoints():
                return verdicts.measure_points(self.plant, request)
            case ScoreMap():
                return verdicts.score_map(self.plant, request)
            case ScoreRate():
                return verdicts.score_rate(self.plant, request)
            case ScorePlasma():
                return verdicts.score_plasma(self.plant, request)
            case Reactive():
                reply, self._swept = reactive_study.sweep(self._operator, request)
                return reply
            case ScoreReactive():
                return reactive_study.score(self._swept, request)

    def _measure(self, request: Measure) -> Reply:
        name = request.source
        reply = self._rows(request, {name: request.power}, substrate=False)
        for key in ("powers", "voltage", "current", "energy_kWh"):
            if key in reply:
                reply["power" if key == "powers" else key] = reply.pop(key)[name]
        return reply

    def _deposit(self, request: Deposit) -> Reply:
        for name, power in request.powers.items():  # before a substrate is used up
            self._operator.check_power(name, power)
        number = self.plant.load_substrate()
        return {**self._rows(request, request.powers, substrate=True), "substrate": number}

    def _rows(self, request: Measure | Deposit, powers: Mapping[str, float], substrate: bool) -> Reply:
        """Zero rate, open shutters, transient, measurement; the substrate sees the measurement alone."""
        plant, operator = self.plant, self._operator
        indices = [operator.index(name) for name in powers]
        try:
            course = operator.light(powers, request)
            if course.dark:
                return _went_out(course, powers)
            rows: Rows = {}
            zero = operator.record(rows, request.zero_s, request.every_s)
            for index in indices:
                plant.open_source_shutter(index, True)
            plant.advance(min(request.every_s, 0.1))  # the first row behind an open shutter has a time of its own
            operator.record(rows, request.transient_s, request.every_s)
            plant.substrate_shutter_open = substrate
            measured = operator.record(rows, request.duration_s, request.every_s)
            plant.substrate_shutter_open = False
        finally:
            operator.finish()
        return {
            "plasma": True,
            "rows": rows,
            "window": {"zero": list(zero), "measured": list(measured)},
            **_means(rows, measured, powers),
        }

    def _age(self, request: Age) -> Reply:
        powers = {request.source: request.power}
        try:
            course = self._operator.light(powers, request)
            if course.dark:
                return {**_went_out(course, powers), "power": request.power}
            self.plant.advance(3600.0 * request.hours)
            seen = self._operator.read()
        finally:
            self._operator.finish()
        return {
            "plasma": True,
            **{key: seen[f"{request.source}_{key}"] for key in ("power", "voltage", "current")},
            "energy_kWh": seen[f"{request.source}_energy"],
            "pressure": seen["gauge_pressure"],
            "time_s": seen["clock_time"],
        }

    def _exchange(self, request: Exchange) -> Reply:
        if request.source is not None and request.element is not None:
            index = self._operator.index(request.source)
            self.plant.mount_target(index, request.element)
            return {"element": self.plant.elements[index], "target_number": self.plant.sources[index].target_number}
        crystals = {crystal.config.name: crystal for crystal in self.plant.crystals}
        if request.sensor not in crystals:
            raise RequestError(f"the chamber has no sensor {request.sensor!r}, only {', '.join(crystals)}")
        crystals[request.sensor].replace()
        return {"life": crystals[request.sensor].life_percent}

    def _new(self, request: New) -> Reply:
        raw = self._config.model_dump(mode="json", by_alias=True)
        raw["physics"] |= request.physics
        raw["seed"] = raw["seed"] if request.seed is None else request.seed
        config = validated("new", raw, ChamberConfig)
        self.plant = Plant(config, request.noise)
        self._operator = Operator(self.plant)
        self._swept = None
        return {"seed": config.seed}


def load_batch_config(path: Path) -> ChamberConfig:
    """The configuration of an IOC; its files may be absent, for they are neither read nor written.

    Raises:
        ConfigError: one line that names the file, the key and what is wrong with it.
    """
    raw = read_json(path)
    if isinstance(raw, dict):
        raw = {"prefix": "", **raw, **{k: raw.get(k) or "none" for k in ("state_file", "truth_file")}}
    return validated(str(path), raw, ChamberConfig)


def serve(batch: Batch, requests: TextIO, replies: TextIO) -> None:
    """Answer a request per line until there are no more."""
    for line in requests:
        if line.strip():
            replies.write(json.dumps(_answer(batch, line), allow_nan=False, separators=(",", ":")) + "\n")
            replies.flush()


def _answer(batch: Batch, line: str) -> Reply:
    try:
        content = json.loads(line, parse_constant=lambda _name: None)
    except ValueError as err:
        return {"error": f"not JSON: {err}"}
    return batch.answer(content)


def _went_out(course: Course, powers: Mapping[str, float]) -> Reply:
    return {
        "plasma": False,
        "powers": dict(powers),
        "dark": list(course.dark),
        "lit_mTorr": course.lit_mTorr,
        "out_mTorr": course.seen_mTorr,
    }


def _means(rows: Rows, window: tuple[float, float], names: Mapping[str, float]) -> Reply:
    """Mean readbacks of the measurement, and the last energies."""
    use = [k for k, time in enumerate(rows["clock_time"]) if time is not None and window[0] <= time <= window[1]]

    def mean(column: str) -> float:
        values = (rows[column][k] for k in use)
        return statistics.fmean(value for value in values if value is not None)

    return {
        "powers": {name: mean(f"{name}_power") for name in names},
        "pressure": mean("gauge_pressure"),
        "voltage": {name: mean(f"{name}_voltage") for name in names},
        "current": {name: mean(f"{name}_current") for name in names},
        "energy_kWh": {name: rows[f"{name}_energy"][-1] for name in names},
    }
