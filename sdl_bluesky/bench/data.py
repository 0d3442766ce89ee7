"""What keeping everything costs: events per second, time to a suggestion, time to resume.

`events_per_s`: of a RunEngine whose documents go to the write-ahead log, while the writer feeds a Tiled server from it;
`bare_events_per_s`: of the same RunEngine without any callback; `ratio`: their median ratio, pair by pair. `behind_s`: how
long after the last document the catalogue was complete.

`suggestion_s`: an agent chooses, with all that it knows to be fitted first. `resume_s`: from the catalogue to the next point
of a campaign of many runs: its documents are read, its agents are rebuilt and asked. `read_s`: the reading alone.

`delay_s`, `worst_delay_s`: from a decision, or a new map, to the moment at which a consumer is told (`bench.data_news`).
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.agents import BALMAgent, PIBOAgent
from sdl_bluesky.bench.data_campaign import RUNS_A_SOURCE, SOURCES, many_events, recorded_campaign
from sdl_bluesky.bench.data_news import news_rows
from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.data.server import TiledServer
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.data.status import wait_until_written
from sdl_bluesky.data.writer import start_writer
from sdl_bluesky.physics.alloys import InGaAsP
from sdl_bluesky.plans.campaign import agent_of
from sdl_bluesky.plans.recall import recall

if TYPE_CHECKING:
    from bluesky import RunEngine
    from tiled.client.container import Container

SEEDS = 5
"""Pairs of runs, with and without log and catalogue."""
EVENTS = 3000
NEWS = 20
"""Decisions, and maps, of which a consumer is told."""
_KEY = "0123456789abcdef"
_PATIENCE_S = 1200.0

Tell = Callable[[str], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class _Catalogue:
    """A log that a writer feeds into a server, in a folder of its own."""

    log: Path
    client: Container


def run(seeds: int | None, quick: bool, tell: Tell) -> list[Row]:
    """The study, see `sdl_bluesky.bench`."""
    repeats, events = (2, 200) if quick else (seeds or SEEDS, EVENTS)
    with _catalogue() as place:
        tell(f"{repeats} pairs of runs of {events} events")
        rows = [_events(place, repeats, events)]
        rows += _suggestions(repeats)
        runs = 5 if quick else RUNS_A_SOURCE
        tell(f"a campaign of {runs * len(SOURCES)} runs")
        rows.append(_resume(place, runs, repeats))
        news = 4 if quick else NEWS
        tell(f"a consumer is told of {news} decisions and {news} maps")
        rows += news_rows(_engine(), place.log, place.client, news)
    return rows


@contextmanager
def _catalogue() -> Iterator[_Catalogue]:
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as free:
        folder = Path(name)
        settings = TiledSettings.local(folder / "tiled", port=free.getsockname()[1])
        free.close()
        with TiledServer.start(settings, folder / "tiled", _KEY) as server:
            writer = start_writer(folder / "log", server.uri, _KEY, folder / "writer.log")
            try:
                yield _Catalogue(folder / "log", connect(server.uri, _KEY))
            finally:
                writer.terminate()
                writer.wait(20)


def _engine() -> RunEngine:
    from bluesky import RunEngine

    return RunEngine({}, context_managers=[], call_returns_result=True)


def _events(place: _Catalogue, repeats: int, events: int) -> Row:
    bare, kept = _engine(), _engine()
    seconds: list[tuple[float, float]] = []
    behind: list[float] = []
    with DocumentLog(place.log) as log:
        kept.subscribe(log)
        bare(many_events(events // 10))
        kept(many_events(events // 10))
        for _ in range(repeats):
            start = time.perf_counter()
            bare(many_events(events))
            middle = time.perf_counter()
            [uid] = _uids(kept(many_events(events)))
            end = time.perf_counter()
            wait_until_written(place.log, place.client, uid, _PATIENCE_S)
            behind.append(time.perf_counter() - end)
            seconds.append((middle - start, end - middle))
    return {
        "method": "log and Tiled",
        "case": f"{events} events of 12 columns",
        "bare_events_per_s": events / statistics.median(a for a, _ in seconds),
        "events_per_s": events / statistics.median(b for _, b in seconds),
        "ratio": statistics.median(a / b for a, b in seconds),
        "behind_s": statistics.median(behind),
    }


def _uids(result: Any) -> tuple[str, ...]:
    """Runs that a call of a RunEngine made."""
    return tuple(result.run_start_uids)


def _suggestions(repeats: int) -> list[Row]:
    def rate() -> BALMAgent:
        agent = BALMAgent({"power": (10.0, 100.0), "pressure": (4.0, 20.0)}, initial="sobol")
        for k in range(10):
            [point] = agent.suggest()
            power, pressure = point["power"], point["pressure"]
            agent.ingest([{**point, "rate": power**0.95 * (1.0 + 0.01 * (-1) ** k) / (1.0 + pressure / 30.0)}])
        return agent

    def growth() -> PIBOAgent:
        agent = PIBOAgent({"f_ga": (2.0, 8.0), "f_as": (4.0, 14.0)}, {"wavelength": 1180.0, "lattice": 5.8688})
        for ga, as_ in ((5.2, 9.4), (5.0, 9.0), (4.6, 8.4), (5.4, 9.0), (4.8, 9.2), (5.0, 8.2)):
            wavelength, lattice = InGaAsP().properties(0.19 * ga / 5.97, 0.42 * (as_ / 11.2) ** 0.8)
            agent.ingest([{"f_ga": ga, "f_as": as_, "wavelength": float(wavelength), "lattice": float(lattice)}])
        return agent

    rows = []
    for case, make in (("a rate, 10 readings", rate), ("growth, 6 layers", growth)):
        times = []
        for _ in range(repeats):
            agent = make()
            start = time.perf_counter()
            agent.suggest()
            times.append(time.perf_counter() - start)
        rows.append({"method": "suggestion", "case": case, "suggestion_s": statistics.median(times)})
    return rows


def _resume(place: _Catalogue, runs: int, repeats: int) -> Row:
    engine = _engine()
    with DocumentLog(place.log) as log:
        engine.subscribe(log)
        campaign, last = recorded_campaign(engine, runs)
    for uid in (campaign, last):
        wait_until_written(place.log, place.client, uid, _PATIENCE_S)
    read, whole = [], []
    for _ in range(min(repeats, 3)):
        start = time.perf_counter()
        spec, history = recall(place.client, campaign)
        read.append(time.perf_counter() - start)
        [*_, agent] = [agent_of(spec, source, history) for source in spec.learn]
        agent.suggest(1)
        whole.append(time.perf_counter() - start)
        assert len(history.steps) == runs * len(SOURCES)
    return {
        "method": "resume",
        "case": f"a campaign of {runs * len(SOURCES)} runs",
        "read_s": statistics.median(read),
        "resume_s": statistics.median(whole),
    }
