"""Experiments that a queue server does, as a campaign asks for them: the run is read back from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluesky.utils import MsgGenerator

from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import read_dataset, read_last
from sdl_bluesky.data.status import wait_until_written
from sdl_bluesky.errors import ServiceError
from sdl_bluesky.plans.growth.reactor import ReactorGrower
from sdl_bluesky.plans.mocvd.settings import GrowthSettings
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.sputter import Measurement
from sdl_bluesky.plans.stubs import in_thread
from sdl_bluesky.plans.work import MD, Points, points_row
from sdl_bluesky.session.queue.client import QueueClient

if TYPE_CHECKING:
    from pathlib import Path

    from tiled.client.container import Container

ARRIVES_S = 60.0
"""A run that has ended is in the catalogue by then."""


@dataclass(frozen=True)
class Remote:
    """A queue server, and the catalogue in which its runs arrive.

    Attributes:
        queue: the server.
        client: root of the catalogue.
        log: folder of the document logs, for what the writer says when a run is late.
    """

    queue: QueueClient
    client: Container
    log: Path

    def do(self, plan: str, md: MD, arguments: Mapping[str, Any]) -> MsgGenerator[Container]:
        """Have a plan done; its run, which answers the suggestion that `md` names.

        Raises:
            SDLError: see `QueueClient.do`. ServiceError: the run is not what was asked for.
        """

        def work() -> Container:
            done = self.queue.do(plan, {**arguments, "md": dict(md)})
            if not done.runs:
                raise ServiceError(f"item {done.item} ({plan}) of the queue server made no run")
            run = wait_until_written(self.log, self.client, done.runs[-1], ARRIVES_S)
            start = start_of(run)
            wrong = [key for key in ("campaign", "suggestion_id") if start.get(key) != md.get(key)]
            if wrong or start.get("sample") != arguments["sample"]:
                raise ServiceError(f"run {start['uid']} answers another suggestion than item {done.item} asked for")
            return run

        return (yield from in_thread(work))


@dataclass(frozen=True)
class QueueWork:
    """See `plans.work.Work`."""

    remote: Remote
    sensors: Sequence[str]
    rbs: RBSSettings | None = None

    def rate(
        self,
        source: str,
        power: float,
        pressure: float,
        *,
        sample: str,
        sensor: str,
        careful_below: float | None,
        md: MD,
    ) -> MsgGenerator[Measurement]:
        """The plan `measure_rate`."""
        asked = {"source": source, "power": power, "pressure": pressure, "sample": sample, "sensor": sensor}
        asked |= {} if careful_below is None else {"careful_below": careful_below}
        return (yield from self._measured("measure_rate", md, asked))

    def total(
        self, powers: Mapping[str, float], pressure: float, *, sample: str, sensor: str | None, md: MD
    ) -> MsgGenerator[Measurement]:
        """The plan `measure_total`."""
        asked = {"powers": dict(powers), "pressure": pressure, "sample": sample}
        asked |= {} if sensor is None else {"sensor": sensor}
        return (yield from self._measured("measure_total", md, asked))

    def film(
        self,
        powers: Mapping[str, float],
        pressure: float,
        duration: float,
        *,
        sample: str,
        based_on: Mapping[str, Sequence[str]],
        md: MD,
    ) -> MsgGenerator[Measurement]:
        """The plan `cosputter`."""
        models = {name: list(uids) for name, uids in based_on.items()}
        asked = {"powers": dict(powers), "pressure": pressure, "duration": duration, "sample": sample}
        return (yield from self._measured("cosputter", md, {**asked, "based_on": models}))

    def points(
        self, places: Points, *, sample: str, substrate: int, elements: Sequence[str], film: str, md: MD
    ) -> MsgGenerator[Measurement]:
        """The plan `measure_rbs`.

        Raises:
            ServiceError: the lab has no end station.
        """
        settings = self.rbs
        if settings is None:
            raise ServiceError(f"the film of run {film} cannot be measured: the lab file has no RBS end station")
        asked = {"points": [list(k) for k in places], "substrate": substrate, "elements": list(elements)}
        run = yield from self.remote.do("measure_rbs", md, {**asked, "sample": sample, "based_on": film})

        def row() -> dict[str, Any]:
            data = read_dataset(run)
            columns = {str(name): data[name].values for name in data.data_vars}
            return points_row(str(run.item["id"]), columns, settings.case(), elements, film)

        return Measurement(str(run.item["id"]), (yield from in_thread(row)))

    def _measured(self, plan: str, md: MD, arguments: Mapping[str, Any]) -> MsgGenerator[Measurement]:
        run = yield from self.remote.do(plan, md, arguments)
        return Measurement(str(run.item["id"]), (yield from in_thread(lambda: read_last(run))))


@dataclass(frozen=True)
class QueueGrower:
    """See `plans.growth.campaign.Grower`."""

    remote: Remote
    settings: GrowthSettings

    def grow(self, flows: Mapping[str, float], sample: str, md: MD) -> MsgGenerator[Measurement]:
        """The plan `grow_and_measure`."""
        asked = {"f_ga": float(flows["f_ga"]), "f_as": float(flows["f_as"]), "sample": sample}
        run = yield from self.remote.do("grow_and_measure", md, asked)
        return Measurement(str(run.item["id"]), (yield from in_thread(lambda: read_last(run))))

    def row(self, uid: str, data: Mapping[str, Any]) -> dict[str, float]:
        """See `plans.growth.reactor.ReactorGrower.row`."""
        return ReactorGrower(None, self.settings).row(uid, data)
