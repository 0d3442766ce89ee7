"""Growing a stack in the safe order of gases: carrier, phosphine before heat, metals last on and first off.

A growth ends with a safe reactor, however it ends. On any failure, abort, pause or trip, group III goes into the vent and
the heater off at once; phosphine stays over the surface while it is hot, unless the gas system itself has taken it away.
A growth that was interrupted is a failed run, and its wafer is given up.
"""

from __future__ import annotations

from collections.abc import Callable

import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from sdl_bluesky.devices import MOCVD, LayerReadings, Positioner
from sdl_bluesky.devices.mocvd.switch import NO, RUN, VENT, YES
from sdl_bluesky.errors import DeviceError
from sdl_bluesky.plans.mocvd.recipe import Recipe, Step
from sdl_bluesky.plans.mocvd.settings import GrowthSettings
from sdl_bluesky.plans.mocvd.work import asked, hold, safe_end, steady, watch_growth
from sdl_bluesky.plans.watch import Watch

Note = Callable[[Step, LayerReadings, float], MsgGenerator[None]]
"""Gets each layer when it is grown, its readings, and the seconds that the clock counted."""


def grow_stack(
    reactor: MOCVD, recipe: Recipe, steps: tuple[Step, ...], settings: GrowthSettings, wafer: int, note: Note
) -> MsgGenerator[None]:
    """Grow the layers of a recipe on a fresh wafer, which is in the cassette afterwards.

    Args:
        reactor: the machine.
        recipe: checked, see `preflight.check_recipe`.
        steps: its layers.
        settings: how it is done.
        wafer: number that the fresh wafer must have.
        note: a plan that is handed every layer.

    Raises:
        Interrupted: the reactor was made safe meanwhile.
        SDLError: the machine's fault. In both cases the surface has been cooled under phosphine where that was possible.
    """

    def whole() -> MsgGenerator[None]:
        watch = watch_growth(reactor)
        yield from _empty(reactor, settings, watch)
        yield from watch.wait("fresh wafer", reactor.wafers.load)
        came = yield from asked(reactor.wafers.loaded)
        if came != wafer:
            raise DeviceError(f"wafer {came} came and not {wafer}: does somebody else use the reactor?")
        yield from _heat(reactor, recipe, settings, watch)
        for step in steps:
            yield from _layer(reactor, step, settings, watch, note)
        yield from _cool(reactor, settings, watch)
        yield from watch.wait("unload", reactor.wafers.unload)

    yield from bpp.finalize_wrapper(whole(), lambda: safe_end(reactor))


def _empty(reactor: MOCVD, settings: GrowthSettings, watch: Watch) -> MsgGenerator[None]:
    """Whatever was before: cold, still, hydrides shut, no wafer."""
    yield from _cool(reactor, settings, watch, purge=False)
    if (yield from asked(reactor.wafers.loaded)):
        yield from watch.wait("unload", reactor.wafers.unload)


def _heat(reactor: MOCVD, recipe: Recipe, settings: GrowthSettings, watch: Watch) -> MsgGenerator[None]:
    """Carrier, then phosphine, then heat; the other flows settle in the vent."""
    vessel, susceptor, lines = reactor.vessel, reactor.susceptor, reactor.lines
    conditions: list[tuple[Positioner, float]] = [
        (reactor.carrier.flow, recipe.f_h2),
        (vessel.pressure, recipe.pressure),
        (vessel.rotation, recipe.rotation),
    ]
    for line in reactor.metals.values():
        yield from watch.move(line.arm, NO)
    yield from _together(watch, [*conditions, (susceptor.ramp, recipe.ramp), (lines["p"].flow, recipe.f_p)])
    phosphine = [*conditions, (lines["p"].flow, recipe.f_p)]
    yield from steady(reactor, watch, phosphine, settings.settle_s, settings.steady_tries)
    yield from watch.move(lines["p"].valve, RUN)
    if lines["p"].valve.position != RUN:
        raise DeviceError("no phosphine flows into the reactor: it is not heated")
    yield from watch.move(susceptor.temperature, recipe.temperature)
    others = [(lines[name].flow, recipe.flows[name]) for name in ("in", "ga", "as")]
    yield from _together(watch, others)
    yield from hold(reactor, watch, settings.soak_s)
    everything = [*phosphine, *others, (susceptor.temperature, recipe.temperature)]
    yield from steady(reactor, watch, everything, settings.settle_s, settings.steady_tries)


def _layer(reactor: MOCVD, step: Step, settings: GrowthSettings, watch: Watch, note: Note) -> MsgGenerator[None]:
    """Group V first, then group III for its time; group III is off before group V changes again."""
    for name, line in reactor.metals.items():
        yield from watch.move(line.arm, YES if name in step.metals else NO)
    arsine = reactor.lines["as"].valve
    yield from watch.move(arsine, RUN if step.arsenic else VENT)
    yield from hold(reactor, watch, settings.pause_s)
    readings = reactor.layer_log()
    readings.start()
    try:
        yield from watch.wait(step.name, lambda: reactor.growth.grow(step.seconds))
    finally:
        readings.stop()
    yield from watch.move(arsine, VENT)
    grown = yield from asked(reactor.growth.grown)
    yield from note(step, readings.readings(), grown)


def _cool(reactor: MOCVD, settings: GrowthSettings, watch: Watch, *, purge: bool = True) -> MsgGenerator[None]:
    """Group III off, heater off, phosphine until the surface is cold; then purge, and wait until it can be touched."""
    spec, susceptor, lines = reactor.spec, reactor.susceptor, reactor.lines
    for name in ("in", "ga", "as"):
        yield from watch.move(lines[name].valve, VENT)
    yield from watch.move(susceptor.temperature, 0.0)
    yield from _together(watch, [(lines[name].flow, 0.0) for name in ("in", "ga", "as")])
    yield from watch.wait("cooling under phosphine", lambda: susceptor.until_below(spec.protect_degC))
    yield from watch.wait("hydrides shut", lambda: reactor.protection.done(spec.cool_timeout_s))
    yield from _together(watch, [(lines["p"].flow, 0.0), (reactor.vessel.rotation, 0.0)])
    yield from watch.wait("at rest", reactor.vessel.until_at_rest)
    if purge:
        yield from hold(reactor, watch, settings.purge_s)
    yield from watch.wait("cooling", lambda: susceptor.until_below(spec.cold_degC - spec.temperature_tolerance_degC))


def _together(watch: Watch, pairs: list[tuple[Positioner, float]]) -> MsgGenerator[None]:
    yield from watch.move_together(*(item for pair in pairs for item in pair))
