"""One simulated chamber of the study of maps: sources learned by the default agent, films at conditions nobody has seen.

What is learned of a chamber comes from its readings alone; the program that simulates it keeps the truth and gives scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sdl_bluesky.agents import BALMAgent
from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.maps.readings import Film, SourceRates
from sdl_bluesky.analysis.maps.totals import Totals
from sdl_bluesky.analysis.rates import Window, reduce_run
from sdl_bluesky.analysis.rbs.points import CompositionPoints
from sdl_bluesky.analysis.surface import SourceSurface, fit_surface
from sdl_bluesky.bench.sputter_twin import SputterTwin, twin_config
from sdl_bluesky.errors import PlasmaError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.session.lab import load_lab

ELEMENTS = ("Cu", "Sn", "Ni", "Al")
EXPERIMENTS = 10
POWER_W, PRESSURE_MTORR = (10.0, 100.0), (4.0, 20.0)
FILM_POWER_W, FILM_PRESSURE_MTORR = (15.0, 100.0), (4.0, 18.0)
CALIBRATION_FILM = ({"cu": 40.0, "sn": 40.0, "ni": 60.0, "al": 80.0}, 8.0)
POINTS_MM = np.array([[0.0, 0.0], [20.0, 20.0], [-20.0, 20.0], [-20.0, -20.0], [20.0, -20.0]])
POINTS_STD = 0.003
GRID_MM = np.linspace(-25.0, 25.0, 21)
FILM_S = 600.0
_TRIES = 40


@dataclass(frozen=True)
class Case:
    """What is different in a chamber.

    Attributes:
        name: for the rows.
        physics: settings of the plant that are not its defaults.
        tooling_std: what the laboratory states of its sensors.
        distance: of the sources from the middle of the wafer, over that of the shipped lab file.
    """

    name: str
    physics: Mapping[str, Any] = field(default_factory=dict)
    tooling_std: float = 0.01
    distance: float = 1.0


@dataclass(frozen=True)
class Made:
    """A film: what the laboratory knows of it (`film`), and its number and conditions in the simulation."""

    film: Film
    substrate: int
    powers_W: Mapping[str, float]
    pressure_mTorr: float


@dataclass
class Laboratory:
    """A chamber and what was learned of it.

    Args:
        twin: the simulation.
        chamber: where everything stands, as the laboratory believes.
        surfaces: of each source.
    """

    twin: SputterTwin
    chamber: Chamber
    surfaces: dict[str, SourceSurface]

    def rates(self, source: str, power_W: float, pressure_mTorr: float) -> SourceRates:
        """What is known of a source alone at a setting."""
        chamber, at = self.chamber, (float(power_W), float(pressure_mTorr))
        return SourceRates.of(
            source, chamber.elements[source], chamber.source(source), self.surfaces[source], at, list(chamber.sensors)
        )[0]

    def witnesses(self, film: Made) -> list[SourceRates]:
        """The sources that did not burn."""
        others = [k for k in self.surfaces if k not in film.powers_W]
        return [self.rates(k, float(np.median(self.surfaces[k].points[:, 0])), film.pressure_mTorr) for k in others]

    def deposit(self, powers_W: Mapping[str, float], pressure_mTorr: float) -> Made | None:
        """A film; None where a plasma went out."""
        reply = self.twin.ask("film", powers=dict(powers_W), pressure=pressure_mTorr, duration_s=FILM_S)
        if not reply["plasma"]:
            return None
        powers, pressure = {k: float(v) for k, v in reply["powers"].items()}, float(reply["pressure"])
        rate, std = _reduced(reply, self.chamber)
        sensors = list(self.chamber.sensors)
        variance = std**2 + sum(self.surfaces[k].scatter([p, pressure], sensors) ** 2 for k, p in powers.items())
        sources = tuple(self.rates(k, p, pressure) for k, p in powers.items())
        film = Film(sources, Totals(rate, np.sqrt(variance)), None, str(reply["substrate"]))
        return Made(film, int(reply["substrate"]), powers, pressure)

    def measured(self, film: Made, seed: int) -> Film:
        """The film with five measured points."""
        x, y = POINTS_MM.T
        reply = self.twin.ask(
            "points", substrate=film.substrate, x_mm=x.tolist(), y_mm=y.tolist(), std=POINTS_STD, seed=seed
        )
        fraction = np.array(reply["fraction"])
        p, e = fraction.shape
        cov = np.zeros((p, e, p, e))
        for k in range(p):
            change = np.eye(e) - fraction[k][:, None]
            cov[k, :, k] = POINTS_STD**2 * change @ change.T
        flat = cov.reshape(p * e, p * e)
        points = CompositionPoints(
            tuple(reply["elements"]), x, y, fraction, flat, fraction, flat, np.ones(p, dtype=bool), film.substrate
        )
        return replace(film.film, points=points)

    def score(self, film: Made, elements: Sequence[str], fraction: Array, std: Array) -> dict[str, float]:
        """Of a map on `GRID_MM`, by the simulation."""
        grid = GRID_MM.tolist()
        return self.twin.ask(
            "score_map",
            substrate=film.substrate,
            x_mm=grid,
            y_mm=grid,
            elements=list(elements),
            fraction=fraction.tolist(),
            std=std.tolist(),
        )


def config(case: Case, seed: int) -> dict[str, Any]:
    """The chamber of the shipped lab file with what the case says."""
    found = twin_config(ELEMENTS, seed, dict(case.physics))
    for source in found["sources"]:
        source["position_cm"] = [case.distance * v for v in source["position_cm"]]
    return found


def learned(twin: SputterTwin, made: Mapping[str, Any], tooling_std: float, seed: int) -> Laboratory:
    """A laboratory whose default agent has spent ten experiments on each source."""
    geometry = load_lab().geometry()
    geometry["tooling_std"] = tooling_std
    for source in made["sources"]:
        geometry["sources"][source["name"]] |= {k: source[k] for k in ("element", "position_cm", "axis")}
    chamber = Chamber.from_start({"uid": "study", "geometry": geometry})
    lab = Laboratory(twin, chamber, {})
    for k, source in enumerate(chamber.sources):
        agent = BALMAgent({"power": POWER_W, "pressure": PRESSURE_MTORR}, budget=EXPERIMENTS, seed=seed + k)
        points, rates, errors = [], [], []
        while not agent.should_stop()[0]:
            [point] = agent.suggest()
            reply = twin.ask("measure", source=source, power=point["power"], pressure=point["pressure"])
            if not reply["plasma"]:
                agent.register_failures([point])
                continue
            rate, std = _reduced(reply, chamber)
            points.append((float(reply["power"]), float(reply["pressure"])))
            rates.append(rate)
            errors.append(std)
            agent.ingest([{**point, "rate": float(rate[0]), "rate_std": float(std[0])}])
        lab.surfaces[source] = fit_surface(
            points, rates, errors, list(chamber.sensors), chamber.power_W, chamber.pressure_mTorr
        )
    return lab


def condition(lab: Laboratory, rng: np.random.Generator) -> Made:
    """A film of two sources (one in four times of three) at a condition drawn at random where all of them burn.

    Raises:
        PlasmaError: there is hardly such a condition.
    """
    for _ in range(_TRIES):
        count = 3 if rng.random() < 0.25 else 2
        names = rng.choice(list(lab.surfaces), count, replace=False)
        powers = {str(k): float(rng.uniform(*FILM_POWER_W)) for k in names}
        found = lab.deposit(powers, float(rng.uniform(*FILM_PRESSURE_MTORR)))
        if found is not None:
            return found
    raise PlasmaError(f"the plasmas went out at {_TRIES} conditions drawn at random")


def _reduced(reply: Mapping[str, Any], chamber: Chamber) -> tuple[Array, Array]:
    rows = {name: np.array([np.nan if v is None else v for v in c], float) for name, c in reply["rows"].items()}
    window = Window(tuple(reply["window"]["zero"]), tuple(reply["window"]["measured"]))
    return reduce_run(rows, window, chamber.f0_Hz).arrays(list(chamber.sensors))
