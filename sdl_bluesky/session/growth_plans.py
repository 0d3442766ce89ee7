"""The plans of a MOCVD reactor as a person finds them in the shell, and a queue server in its environment.

Types and docstrings are as in `session.namespace`.
"""

from collections.abc import Callable
from typing import Any

from bluesky.utils import MsgGenerator

from sdl_bluesky.devices import MOCVD
from sdl_bluesky.plans.mocvd.experiment import grow_and_measure as grow_and_measure_plan
from sdl_bluesky.plans.mocvd.experiment import grow_layer as grow_layer_plan
from sdl_bluesky.plans.mocvd.experiment import measure_pl as measure_pl_plan
from sdl_bluesky.plans.mocvd.experiment import measure_xrd as measure_xrd_plan
from sdl_bluesky.plans.mocvd.settings import recipe_for
from sdl_bluesky.session.open import Session


def reactor_of(session: Session) -> MOCVD | None:
    """The reactor of a session; None if there is none, or its IOC did not answer."""
    return getattr(session, "reactor", None)


def growth_plans(session: Session) -> dict[str, Callable[..., MsgGenerator[Any]]]:
    """The plans of the MOCVD reactor; none in a lab without one. Without an answer of its IOC, they say so."""
    reactor, settings = reactor_of(session), getattr(session, "growth_settings", None)
    if settings is None:
        return {}

    def grow_layer(
        f_ga: float, f_as: float, sample: str = "", changes: dict[str, float] | None = None
    ) -> MsgGenerator[Any]:
        """Grow a stack on a fresh wafer.

        Parameters
        ----------
        f_ga : float
            Flow of the gallium precursor while the layer grows [sccm].
        f_as : float
            Flow of arsine while the layer grows [sccm].
        sample : str
            Name under which the run can be found.
        changes : dict
            What of the recipe shall not be as in the lab file, such as {"temperature": 640.0, "layer": 150.0}.
        """
        recipe = recipe_for(settings, f_ga, f_as, changes)
        return (yield from grow_layer_plan(reactor, recipe, settings, sample=sample))

    def grow_and_measure(
        f_ga: float,
        f_as: float,
        sample: str = "",
        changes: dict[str, float] | None = None,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[Any]:
        """Grow a stack on a fresh wafer, then measure its PL map and its diffraction, in one run.

        Parameters
        ----------
        f_ga : float
            Flow of the gallium precursor while the layer grows [sccm].
        f_as : float
            Flow of arsine while the layer grows [sccm].
        sample : str
            Name under which the run can be found.
        changes : dict
            What of the recipe shall not be as in the lab file, such as {"temperature": 640.0, "layer": 150.0}.
        md : dict
            More metadata for the start document.
        """
        recipe = recipe_for(settings, f_ga, f_as, changes)
        return (yield from grow_and_measure_plan(reactor, recipe, settings, sample=sample, md=md))

    def measure_pl(
        wafer: int, x: float = 0.0, y: float = 0.0, sample: str = "", based_on: str | None = None
    ) -> MsgGenerator[Any]:
        """Measure a PL map of a wafer, and the spectrum of one place.

        Parameters
        ----------
        wafer : int
            Number of the wafer.
        x : float
            Where the spectrum is taken [mm], from the middle.
        y : float
            Where the spectrum is taken [mm], from the middle.
        sample : str
            Name under which the run can be found.
        based_on : str
            Uid of the run that grew the wafer.
        """
        plan = measure_pl_plan(reactor, wafer, settings, place_mm=(x, y), sample=sample, based_on=based_on)
        return (yield from plan)

    def measure_xrd(wafer: int, sample: str = "", based_on: str | None = None) -> MsgGenerator[Any]:
        """Scan theta-2theta round the (004) reflection of a wafer.

        Parameters
        ----------
        wafer : int
            Number of the wafer.
        sample : str
            Name under which the run can be found.
        based_on : str
            Uid of the run that grew the wafer.
        """
        return (yield from measure_xrd_plan(reactor, wafer, settings, sample=sample, based_on=based_on))

    return {p.__name__: p for p in (grow_layer, grow_and_measure, measure_pl, measure_xrd)}
