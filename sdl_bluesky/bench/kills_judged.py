"""What a campaign that was killed again and again is worth: its decisions made again, its events counted, its error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.agents import RateAgent
from sdl_bluesky.analysis.jobs import analyse_run
from sdl_bluesky.bench.kills_lab import Laboratory
from sdl_bluesky.bench.kills_watch import Document
from sdl_bluesky.bench.sputter_twin import SputterTwin
from sdl_bluesky.data.catalogue import find_run, read_table
from sdl_bluesky.data.ledger import Ledger
from sdl_bluesky.data.logfile import RunIndex
from sdl_bluesky.data.server import api_key
from sdl_bluesky.errors import CatalogueError, PlasmaError, ServiceError
from sdl_bluesky.plans.campaign import agent_for, agent_of
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.growth.campaign import agent_before
from sdl_bluesky.plans.growth.file import PRELIMINARY, GrowthFile
from sdl_bluesky.plans.history import History, Step, failure_of
from sdl_bluesky.session.campaigns import Spec

if TYPE_CHECKING:
    from tiled.client.container import Container

Row = dict[str, Any]
GRID = 21
"""Points of power and of pressure at which a rate is judged."""


def decided_again(spec: Spec, decided: Sequence[Mapping[str, Any]], number: int) -> float:
    """The decision after the first `number`, made again by an agent that knows these and nothing else.

    Args:
        spec: the campaign file.
        decided: decisions of the document log, as `Watch.decided` gives them.
        number: how many there were.

    Returns:
        The largest difference of an input, as a fraction of its range.
    """
    history = History("campaign", "", [_step(row) for row in decided[:number]])
    stage, chosen = str(decided[number]["stage"]), decided[number]["inputs"]
    if isinstance(spec, GrowthFile):
        ranges = {"f_ga": spec.grow.f_ga, "f_as": spec.grow.f_as}
        if stage == PRELIMINARY:
            done = {k.suggestion_id for k in history.of(stage) if k.outcome != "aborted"}
            left = [k for n, k in enumerate(spec.grow.preliminary, 1) if f"{PRELIMINARY}-{n}" not in done]
            point: Mapping[str, Any] = {"f_ga": left[0].f_ga, "f_as": left[0].f_as}
        else:
            [point] = agent_before(spec, history, stage).suggest(1)
    else:
        source = stage.removeprefix("learn:")
        ranges = {"power": spec.learn[source].power, "pressure": spec.learn[source].pressure}
        [point] = agent_of(spec, source, history).suggest(1)
    return max(abs(float(point[k]) - chosen[k]) / (high - low) for k, (low, high) in ranges.items())


def _step(row: Mapping[str, Any]) -> Step:
    return Step(
        int(row["step"]),
        str(row["stage"]),
        str(row["suggestion_id"]),
        dict(row["inputs"]),
        row["outcome"],
        str(row["outcome_uid"]),
        row["outcome_row"],
    )


def events_kept(documents: Iterable[Document], client: Container) -> Row:
    """Events in the document log beside those in the catalogue: `events`, `lost`, `surplus`; `open`: runs without an end."""
    index, ledgers = RunIndex(), dict[str, Ledger]()
    for name, doc in documents:
        uid = index.run_of(name, doc)
        if uid is not None:
            ledgers.setdefault(uid, Ledger()).note(name, doc)
    lost = surplus = 0
    for uid, ledger in ledgers.items():
        run = _run(client, uid)
        for stream in {*ledger.rows, *(run or ())}:
            logged, kept = Counter(ledger.rows.get(stream, [])), _rows(run, stream)
            lost += (logged - kept).total()
            surplus += (kept - logged).total()
    return {
        "runs": len(ledgers),
        "events": sum(k.events for k in ledgers.values()),
        "lost": lost,
        "surplus": surplus,
        "open": sum(k.stop is None for k in ledgers.values()),
    }


def _run(client: Container, uid: str) -> Container | None:
    try:
        return find_run(client, uid)
    except CatalogueError:
        return None


def _rows(run: Container | None, stream: str) -> Counter[tuple[int, float]]:
    """Number and time of each event that the catalogue has."""
    try:
        table = None if run is None else read_table(run, stream)
    except CatalogueError:  # it has no such stream
        table = None
    return Counter() if table is None else Counter(zip(map(int, table["seq_num"]), map(float, table["time"])))


def rate_error(twin: SputterTwin, source: str, sensor: str, agent: RateAgent, spec: CampaignFile) -> float:
    """Error of a learned rate over its range, per cent of the mean, as the sensor would show it without noise."""
    learn = spec.learn[source]
    powers, pressures = np.linspace(*learn.power, GRID), np.linspace(*learn.pressure, GRID)
    mean, _ = agent.predict(np.stack(np.meshgrid(powers, pressures), axis=-1).reshape(-1, 2))
    table = np.reshape(mean, (GRID, GRID))  # [pressure, power]
    asked = {"power": powers.tolist(), "pressure": pressures.tolist(), "mean": {sensor: table.tolist()}}
    reply = twin.ask("score_rate", source=source, tooling=True, **asked)
    return float(reply["e_rms_percent"][sensor])


def undisturbed_error(config: Mapping[str, Any], spec: CampaignFile, source: str, seed: int) -> float:
    """The same of a campaign on the same chamber that nobody disturbs, with other noise and another seed of the agent."""
    from sdl_bluesky.bench.health_twin import SENSOR_NAMES, measure

    sensor = SENSOR_NAMES[0]
    with SputterTwin(config) as twin:
        twin.ask("new", noise=seed)
        agent = agent_for(spec.model_copy(update={"seed": seed}), source)
        while not agent.should_stop()[0]:
            [point] = agent.suggest(1)
            try:
                found = measure(twin, source, point["power"], point["pressure"])
            except PlasmaError as fault:
                agent.register_failures([{**point, **failure_of(fault)}])
                continue
            row = {"rate": float(found.rate[0]), "rate_std": float(found.std[0])}
            agent.ingest([{"_id": point["_id"], "power": found.setting[0], "pressure": found.setting[1], **row}])
        return rate_error(twin, source, sensor, agent, spec)


def aged(twin: SputterTwin, source: str, energy_kWh: float, power_W: float = 100.0) -> None:
    """Let a target of a new chamber become as old as that of the campaign."""
    hours = energy_kWh * 1000.0 / power_W
    if hours > 0:
        twin.ask("age", source=source, power=power_W, hours=hours)


def true_layer(lab: Laboratory, client: Container, campaign: str, uid: str) -> dict[str, float]:
    """What the judge knows of a layer: {"wavelength", "lattice"}.

    Raises:
        ServiceError: it cannot judge it.
    """
    analyse_run(client, uid)
    command = [sys.executable, "-m", "ioc_sims.judge", "--truth", str(lab.home.truth_of("mocvd"))]
    command += ["--tiled", lab.services.tiled_uri, "--api-key-env", "TILED_API_KEY", "--campaign", campaign]
    environment = {**os.environ, "TILED_API_KEY": api_key(lab.home.tiled)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise ServiceError(f"the judge could not compare with the truth: {done.stderr.strip()[-500:]}")
    layers = json.loads(done.stdout)["layers"].values()
    for layer in layers:
        if layer["run"] == uid:
            return {key: float(value) for key, value in layer["truth"].items()}
    raise ServiceError(f"the judge knows no layer of run {uid}")
