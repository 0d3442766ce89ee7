"""How late a consumer is told: from a decision, or from a new map, to the moment at which `follow` hands it out.

`delay_s` is the median and `worst_delay_s` the longest, in seconds. A decision counts from the time of its event; a map
from the beginning of its writing, which takes `write_s` (median) and is part of the delay: it is told once it is complete.
A next one is made once the last was told. The consumer has a key that reads, and a connection of its own; the first
decision and the first map are not counted, since a process imports much with them.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bluesky.utils import MsgGenerator

from sdl_bluesky.bench.data_campaign import campaign_file, decision_event
from sdl_bluesky.data.analysis import write_analysis
from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.consumers.follow import News, follow
from sdl_bluesky.data.consumers.keys import make_key
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.errors import SDLError, ServiceError
from sdl_bluesky.plans.decision import FIELDS, STREAM, Decision
from sdl_bluesky.plans.record import Record
from sdl_bluesky.plans.step import RUN_KEY
from sdl_bluesky.plans.stubs import in_thread, recorded

if TYPE_CHECKING:
    from bluesky import RunEngine
    from tiled.client.container import Container

PATIENCE_S = 60.0
_KEY_S = 3600.0
_PIXELS = 51
_ELEMENTS = ("Cu", "Sn")


class Listener:
    """A consumer that follows a campaign in a thread of its own and notes when it was told what.

    Args:
        client: root of the catalogue, as the consumer opened it.
        campaign: id of the campaign.
    """

    def __init__(self, client: Container, campaign: str) -> None:
        self._client, self._campaign = client, campaign
        self._told: queue.SimpleQueue[tuple[float, News] | SDLError] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def _run(self) -> None:
        try:
            for news in follow(self._client, self._campaign, stop=self._over.is_set):
                self._told.put((time.time(), news))
        except SDLError as fault:
            self._told.put(fault)

    def wait(self, kind: str, patience_s: float = PATIENCE_S) -> float:
        """Wait until the consumer is told of the next one; returns the seconds since it was made.

        Args:
            kind: "decision" or "result".
            patience_s: how long it may take.

        Raises:
            ServiceError: it is not told, or something else is.
            SDLError: what ended the consumer.
        """
        try:
            told = self._told.get(timeout=patience_s)
        except queue.Empty:
            raise ServiceError(
                f"the consumer was told of no {kind} within {patience_s:g} s: is the writer alive?"
            ) from None
        if isinstance(told, SDLError):
            raise told
        when, news = told
        if news.kind != kind:
            raise ServiceError(f"the consumer was told of {news.kind} {news.key} where a {kind} was made")
        return when - news.time

    def __enter__(self) -> Listener:
        """Begin to follow."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Follow no more."""
        self._over.set()
        self._thread.join()


def news_rows(engine: RunEngine, log_dir: Path, client: Container, count: int) -> list[dict[str, Any]]:
    """The rows of the study: `count` decisions and as many maps of a campaign, and when a consumer was told of them.

    Args:
        engine: makes the campaign; it must have no log yet.
        log_dir: the log that a writer feeds into the catalogue.
        client: root of the catalogue, with a key that writes.
        count: decisions, and maps, that are counted.

    Raises:
        ServiceError: the consumer was not told of everything, once and in order.
    """
    reader = connect(str(client.context.api_uri), make_key(client, expires_s=_KEY_S, note="sdl bench data").secret)
    decided: list[float] = []
    mapped: list[float] = []
    written: list[float] = []
    opened: list[str] = []
    spec = campaign_file(count)
    start = {"plan_name": "run_campaign", "purpose": "campaign", "campaign_file": spec.as_document()}

    def steps() -> MsgGenerator[None]:
        [campaign] = opened
        yield from in_thread(lambda: wait_until_caught_up(log_dir, client, PATIENCE_S))
        with Listener(reader, campaign) as listener:
            record = Record(STREAM, FIELDS)
            for number in range(count + 1):
                record.put(_decision(number))
                yield from decision_event(record)
                decided.append((yield from in_thread(partial(listener.wait, "decision"))))
                written.append((yield from in_thread(partial(_write_map, client, campaign, number))))
                mapped.append((yield from in_thread(partial(listener.wait, "result"))))

    with DocumentLog(log_dir) as log:
        token = engine.subscribe(log)
        engine(recorded(steps(), start, opened, key=RUN_KEY))
        engine.unsubscribe(token)
    return [
        {"method": "news", "case": f"{count} decisions", **_delays(decided)},
        {"method": "news", "case": f"{count} maps", **_delays(mapped), "write_s": statistics.median(written[1:])},
    ]


def _delays(told: list[float]) -> dict[str, float]:
    return {"delay_s": statistics.median(told[1:]), "worst_delay_s": max(told[1:])}


def _decision(number: int) -> dict[str, Any]:
    point = {"power": 10.0 + number, "pressure": 4.0 + number / 10.0}
    decision = Decision(number + 1, "learn:cu", "sobol", f"cu-{number}", point, [])
    _, values = decision.closed("success", f"run-{number}", row={**point, "rate": 1.0 + number / 3.0})
    return values


def _write_map(client: Container, campaign: str, number: int) -> float:
    """Write a composition map of the usual size [element, y, x] (axes in mm); returns the seconds that it took."""
    axis = np.linspace(-25.0, 25.0, _PIXELS)
    share = np.full((_PIXELS, _PIXELS), 0.5 + number / 1e3)
    arrays = {
        "composition": np.stack([share, 1.0 - share]),
        "composition_std": np.full((2, _PIXELS, _PIXELS), 0.01),
        "x": axis,
        "y": axis,
    }
    dims = dict.fromkeys(("composition", "composition_std"), ("element", "y", "x")) | {"x": ("x",), "y": ("y",)}
    metadata = {
        "units": {"x": "mm", "y": "mm"},
        "derived_from": [campaign],
        "method": "none: made for a study",
        "parameters": {"number": number},
        "campaign": campaign,
        "elements": list(_ELEMENTS),
    }
    start = time.perf_counter()
    write_analysis(client, "composition", arrays, dims, metadata)
    return time.perf_counter() - start
