"""Campaigns whose programs are killed with -9 at moments of chance, and go on from their documents: `sdl bench kills`.

One campaign learns two sources of the sputter chamber, another one grows layers through a real queue server on a real Redis;
ten times each a program is killed: agent and RunEngine, Tiled, the writer, an IOC, and of the second the agent, the queue
server's worker, Redis. Whoever finds a campaign ended resumes it. Needs `sdl-bluesky[queue]` and redis-server.

A row for each kill. `decisions`: how many there were; `next_differs`: the decision that came next, made again by an agent
that knows only the documents that were in the log at that moment, as a fraction of its range. `noticed_s`: until the
campaign's process had ended.

Then, of each campaign, all decisions made again from the catalogue, events of the document log that the catalogue lacks
(`lost`) or has twice (`surplus`), runs that were learned from twice, complete experiments that were done again or were not
used; and the error of what was learned, beside those of campaigns on the same chamber that nobody disturbed (`chance`: of
a larger one), or the distance of the last layer from its target.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats

from sdl_bluesky.bench.kills_judged import (
    aged,
    decided_again,
    events_kept,
    rate_error,
    true_layer,
    undisturbed_error,
)
from sdl_bluesky.bench.kills_lab import Laboratory, Redis
from sdl_bluesky.bench.kills_queue import QueueServer
from sdl_bluesky.bench.kills_run import Disturbed, Killed, disturb
from sdl_bluesky.bench.kills_watch import planned, tally
from sdl_bluesky.bench.sputter_twin import SputterTwin
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.plans.campaign import agent_of
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.recall import recall
from sdl_bluesky.session.campaigns import Spec, replay_campaign
from sdl_bluesky.session.twin import twin_config

SEEDS = 20
"""Undisturbed campaigns to compare with."""
QUICK_SEEDS = 6
SPEED = 200.0
EXPERIMENT_S = {"sputter": 3.0, "growth": 10.0}
"""About what an experiment takes at that speed: kills come within that time of each other."""
CATCH_UP_S = 60.0
SEED = 11

Tell = Callable[[str], None]
Row = dict[str, Any]

VICTIMS: Mapping[str, Mapping[str, int]] = {
    "sputter": {"agent": 3, "tiled": 3, "writer": 2, "ioc": 2},
    "growth": {"agent": 2, "worker": 2, "redis": 2, "tiled": 1, "writer": 1, "mocvd": 2},
}
"""The agent of the first campaign is one process with its RunEngine, that of the second has no machine."""
QUICK: Mapping[str, Mapping[str, int]] = {
    "sputter": {"agent": 1, "tiled": 1, "ioc": 1},
    "growth": {"worker": 1, "redis": 1},
}
LAYERS = ((5.2, 9.4), (5.0, 9.0), (4.6, 8.4), (5.4, 9.0), (4.8, 9.2), (5.0, 8.2))


def campaign_file(kind: str, quick: bool) -> Mapping[str, Any]:
    """What is learned, or grown."""
    common = {"schema": 1, "name": kind, "sample": kind}
    if kind == "sputter":
        learn = {"cu": {"experiments": 7}} if quick else {k: {"experiments": 10} for k in ("cu", "sn")}
        return {**common, "learn": learn}
    layers = [{"f_ga": f"{ga} sccm", "f_as": f"{arsine} sccm"} for ga, arsine in LAYERS[: 2 if quick else 6]]
    targets = [{"wavelength": f"{k} nm", "runs": 1 if quick else 4} for k in ((1180,) if quick else (1100, 1180))]
    return {**common, "grow": {"preliminary": layers, "targets": targets}}


def run(seeds: int | None, quick: bool, tell: Tell) -> Iterator[Row]:
    """The study, see `sdl_bluesky.bench`."""
    victims = QUICK if quick else VICTIMS
    with tempfile.TemporaryDirectory(prefix="sdl-kills-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        lab = Laboratory(Path(name), SPEED, SEED, stack)
        number = 0
        for k, kind in enumerate(victims):
            content = campaign_file(kind, quick)
            file = lab.folder / f"{kind}.yml"
            file.write_text(yaml.safe_dump(dict(content)))
            redis = Redis(lab) if kind == "growth" else None
            queue = stack.enter_context(QueueServer(lab, redis)) if redis is not None else None
            tell(f"{kind}: {sum(victims[kind].values())} kills")
            done = disturb(lab, file, planned(victims[kind], SEED + k), EXPERIMENT_S[kind], redis, queue, tell)
            spec = check(dict(content), GrowthFile if kind == "growth" else CampaignFile, kind)
            for kill in done.kills:
                number += 1
                yield _kill_row(number, kind, kill, spec, done)
            yield from _judged(lab, kind, done)
            if isinstance(spec, CampaignFile):
                yield from _errors(lab, spec, done, QUICK_SEEDS if quick else seeds or SEEDS, tell)
            else:
                yield _layer(lab, spec, done)


def _kill_row(number: int, kind: str, kill: Killed, spec: Spec, done: Disturbed) -> Row:
    decided = done.decided
    differs = decided_again(spec, decided, kill.decisions) if kill.decisions < len(decided) else None
    return {
        "method": "kill",
        "case": f"{kind} {number}",
        "victim": kill.victim,
        "at_s": kill.at_s,
        "doing": kill.doing,
        "decisions": kill.decisions,
        "became": kill.became,
        "noticed_s": kill.noticed_s,
        "next_differs": differs,
    }


def _judged(lab: Laboratory, kind: str, done: Disturbed) -> Iterator[Row]:
    client = lab.client()
    wait_until_caught_up(lab.home.log, client, CATCH_UP_S)
    done.watch.look()
    again = [row.difference for row in replay_campaign(client, done.campaign)]
    yield {
        "method": "decisions",
        "case": kind,
        "recomputed": len(again),
        "largest_difference": max(again),
        "took_s": done.took_s,
    }
    yield {"method": "events", "case": kind, **events_kept(done.watch.documents, client)}
    found = tally(done.decided, done.watch.documents, done.campaign)
    yield {
        "method": "experiments",
        "case": kind,
        "decided": found.decisions,
        "learned": found.learned,
        "ingested_twice": found.ingested_twice,
        "repeated": found.repeated,
        "unused": found.unused,
    }


def _errors(lab: Laboratory, spec: CampaignFile, done: Disturbed, campaigns: int, tell: Tell) -> Iterator[Row]:
    config = {**twin_config(lab.home.load_lab(), lab.home), "state_file": None, "truth_file": None}
    sensor = config["sensors"][0]["name"]
    _, history = recall(lab.client(), done.campaign)
    for source in spec.learn:
        tell(f"{campaigns} undisturbed campaigns of {source}")
        rows = [k.row for k in history.of(f"learn:{source}") if k.outcome == "success" and k.row]
        with SputterTwin(config) as twin:
            aged(twin, source, max(float(k["energy"]) for k in rows))
            error = rate_error(twin, source, sensor, agent_of(spec, source, history), spec)
        others = [undisturbed_error(config, spec, source, 100 + k) for k in range(campaigns)]
        yield {
            "method": "final error",
            "case": source,
            "error_percent": error,
            "undisturbed_median": float(np.median(others)),
            "undisturbed_lowest": min(others),
            "undisturbed_highest": max(others),
            "campaigns": campaigns,
            "chance": chance_of(error, others),
        }


def chance_of(error: float, others: Sequence[float]) -> float:
    """Probability that a campaign ends with a larger error, if errors are log-normal and `others` are a sample of them."""
    logs = np.log(others)
    spread = float(np.std(logs, ddof=1)) * np.sqrt(1 + 1 / len(logs))
    return float(stats.t.sf((np.log(error) - np.mean(logs)) / spread, len(logs) - 1))


def _layer(lab: Laboratory, spec: GrowthFile, done: Disturbed) -> Row:
    target = spec.grow.targets[-1]
    last = [k for k in done.decided if k["stage"] == target.stage and k["outcome"] == "success"][-1]
    truth = true_layer(lab, lab.client(), done.campaign, last["outcome_uid"])
    row: Row = {"method": "final layer", "case": target.stage, "stop": last["stop_reason"]}
    for name, found in (("measured", last["outcome_row"]), ("true", truth)):
        row[f"{name}_miss_nm"] = found["wavelength"] - target.wavelength
        row[f"{name}_mismatch_percent"] = 100.0 * (found["lattice"] / target.lattice - 1.0)
    return {**row, "limit_nm": target.wavelength_tolerance, "limit_percent": target.mismatch_tolerance}
