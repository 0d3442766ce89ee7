"""What a campaign asks of a sputter chamber, whoever does it: this process, or a queue server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bluesky.utils import MsgGenerator

from sdl_bluesky.errors import CampaignError
from sdl_bluesky.plans.check_points import row_of_points
from sdl_bluesky.plans.rbs import measure_rbs
from sdl_bluesky.plans.sputter import Measurement, cosputter, measure_rate, measure_total
from sdl_bluesky.plans.stubs import in_thread

if TYPE_CHECKING:
    from sdl_bluesky.devices import Chamber, RBSStation
    from sdl_bluesky.plans.rbs_settings import RBSSettings
    from sdl_bluesky.plans.settings import SputterSettings

MD = Mapping[str, Any]
Points = Sequence[tuple[float, float]]


class Work(Protocol):
    """Experiments of a campaign in a sputter chamber. Each is one run; `md` goes into its start document."""

    @property
    def sensors(self) -> Sequence[str]:
        """Names of the QCMs."""
        ...

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
        """Measure the rate of one source."""
        ...

    def total(
        self, powers: Mapping[str, float], pressure: float, *, sample: str, sensor: str | None, md: MD
    ) -> MsgGenerator[Measurement]:
        """Measure the rate of several sources together, without a film."""
        ...

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
        """Make a film."""
        ...

    def points(
        self, places: Points, *, sample: str, substrate: int, elements: Sequence[str], film: str, md: MD
    ) -> MsgGenerator[Measurement]:
        """Measure a film by backscattering; the row holds its composition, see `plans.check_points`."""
        ...


@dataclass(frozen=True)
class EndStation:
    """An RBS end station, and how spectra are measured on it."""

    station: RBSStation
    settings: RBSSettings


@dataclass(frozen=True)
class ChamberWork:
    """Done by this process, with its own devices."""

    chamber: Chamber
    settings: SputterSettings
    end_station: EndStation | None = None

    @property
    def sensors(self) -> Sequence[str]:
        """Names of the QCMs."""
        return list(self.chamber.qcms)

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
        """See `plans.sputter.measure_rate`."""
        known = {"sample": sample, "sensor": sensor, "careful_below": careful_below, "md": md}
        return measure_rate(self.chamber, source, power, pressure, self.settings, **known)

    def total(
        self, powers: Mapping[str, float], pressure: float, *, sample: str, sensor: str | None, md: MD
    ) -> MsgGenerator[Measurement]:
        """See `plans.sputter.measure_total`."""
        return measure_total(self.chamber, powers, pressure, self.settings, sample=sample, sensor=sensor, md=md)

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
        """See `plans.sputter.cosputter`."""
        known = {"sample": sample, "based_on": based_on, "md": md}
        return cosputter(self.chamber, dict(powers), pressure, duration, self.settings, **known)

    def points(
        self, places: Points, *, sample: str, substrate: int, elements: Sequence[str], film: str, md: MD
    ) -> MsgGenerator[Measurement]:
        """See `plans.rbs.measure_rbs`.

        Raises:
            CampaignError: there is no end station.
        """
        end = self.end_station
        if end is None:
            raise CampaignError(f"the film of run {film} cannot be measured: there is no RBS end station")
        known = {"sample": sample, "substrate": substrate, "elements": list(elements), "based_on": film}
        measured = yield from measure_rbs(end.station, list(places), end.settings, **known, md=md)
        rows = measured.data
        row = yield from in_thread(lambda: points_row(measured.uid, rows, end.settings.case(), elements, film))
        return Measurement(measured.uid, row)


def points_row(uid: str, rows: Any, case: Mapping[str, Any], elements: Sequence[str], film: str) -> dict[str, Any]:
    """The composition at the points of a `measure_rbs` run, as the decision holds it; see `plans.check_points`."""
    from sdl_bluesky.analysis.rbs.recipe import measured_points  # compiled code, which no other stage needs
    from sdl_bluesky.analysis.rbs.run import rbs_run

    start = {"uid": uid, "elements": list(elements), "rbs_setup": dict(case)}
    points, findings = measured_points(rbs_run(start, rows))
    return row_of_points(film, points, findings)
