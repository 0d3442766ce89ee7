"""The stages of a campaign after learning: checks of additivity, films for a target, points of a film by backscattering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bluesky.utils import MsgGenerator

from sdl_bluesky.analysis.runs import CHECK
from sdl_bluesky.errors import CampaignError, SDLError, Vetoed
from sdl_bluesky.plans.decision import Decision
from sdl_bluesky.plans.designer import Designer
from sdl_bluesky.plans.history import Outcome, Step
from sdl_bluesky.plans.knowledge import MEASURE, TARGET
from sdl_bluesky.plans.proposal import Proposal
from sdl_bluesky.plans.sputter import Measurement
from sdl_bluesky.plans.step import do_step
from sdl_bluesky.plans.stubs import in_thread

if TYPE_CHECKING:
    from sdl_bluesky.plans.campaign import Part

Experiment = Callable[[dict[str, Any]], MsgGenerator[Measurement]]
AGENT, WATCH = "inverse design", "additivity watch"


def check_stage(part: Part, designer: Designer) -> MsgGenerator[None]:
    """Co-sputter without a film at diverse settings: do the rates add up?

    Raises:
        CampaignError: they do not, and no interaction explains it; or no check could be made.
    """
    proposal = yield from in_thread(designer.next_check)
    while proposal is not None:

        def experiment(md: dict[str, Any], found: Proposal = proposal) -> MsgGenerator[Measurement]:
            spec, pressure = part.spec, found.inputs["pressure"]
            return part.work.total(found.powers, pressure, sample=spec.sample, sensor=spec.sensor, md=md)

        yield from _step(part, designer, _decision(part, CHECK, WATCH, proposal), experiment)
        proposal = yield from in_thread(designer.next_check)
    yield from in_thread(designer.refuse_untrusted)


def target_stage(part: Part, designer: Designer) -> MsgGenerator[None]:
    """Design, deposit, judge; again until a film is likely to be as wanted, or the depositions are used.

    Raises:
        OutOfRange: the target cannot be reached; nothing was moved for it.
        CampaignError: no film could be made.
    """
    yield from _measure_newest(part, designer)
    stop, _ = yield from in_thread(designer.verdict)
    while not stop:
        proposal = yield from _designed(part, designer)
        worth, words = designer.worth_it(proposal)
        if not worth:
            if part.observer is not None:
                part.observer(part.history.steps[-1], words)
            break
        yield from _deposit(part, designer, proposal)
        yield from _measure_newest(part, designer)
        stop, _ = yield from in_thread(designer.verdict)
    if designer.best() is None:
        raise CampaignError("no film could be made for the target: see its decisions", part.history)


def _deposit(part: Part, designer: Designer, proposal: Proposal) -> MsgGenerator[None]:
    powers, pressure, duration = proposal.powers, proposal.inputs["pressure"], proposal.inputs["duration"]
    models = {source: part.history.of_today(source) for source in powers}

    def experiment(md: dict[str, Any]) -> MsgGenerator[Measurement]:
        return part.work.film(powers, pressure, duration, sample=part.spec.sample, based_on=models, md=md)

    yield from _step(part, designer, _decision(part, TARGET, AGENT, proposal), experiment)


def _measure_newest(part: Part, designer: Designer) -> MsgGenerator[None]:
    """Measure the newest film by backscattering, if the campaign file says so and it is worth it."""
    film = yield from in_thread(designer.unmeasured)
    if film is None:
        return
    sample = part.spec.sample
    if film.data is None:
        raise CampaignError(f"the film of step {film.step} cannot be measured: its run {film.uid} cannot be read")
    places, elements = designer.places(), designer.elements(film)
    substrate = int(film.data["substrate_number"])

    def experiment(md: dict[str, Any]) -> MsgGenerator[Measurement]:
        known = {"sample": sample, "substrate": substrate, "elements": elements, "film": film.uid}
        return part.work.points(places, **known, md=md)

    name = f"measure-{sample}-{film.step}"
    inputs = {"film_step": film.step, "points": len(places)}
    decision = Decision(part.history.next_step, MEASURE, "campaign file", name, inputs, [film.uid])
    yield from _step(part, designer, decision, experiment)


def _step(part: Part, designer: Designer, decision: Decision, experiment: Experiment) -> MsgGenerator[None]:
    """One step, of which the designer hears before its document is written: what it says then stands in the document."""
    adopted = part.history.orphans.get(decision.suggestion_id)
    made = [] if adopted is None else [adopted[0]]

    def done(md: dict[str, Any]) -> MsgGenerator[Measurement]:
        measurement = yield from experiment(md)
        made.append(measurement.uid)
        return measurement

    def closed(outcome: Outcome, data: Mapping[str, Any] | None) -> Step:
        uid, inputs = made[-1] if made else "", dict(decision.inputs)
        plain = None if data is None else dict(data)
        return Step(decision.step, decision.stage, decision.suggestion_id, inputs, outcome, uid, plain, plain)

    yield from do_step(
        part,
        decision,
        done,
        lambda data: designer.hear(closed("success", data)),
        lambda fault: designer.hear(closed("vetoed" if isinstance(fault, Vetoed) else "failed", None)),
        designer.verdict,
    )


def _decision(part: Part, stage: str, agent: str, proposal: Proposal) -> Decision:
    inputs, known = proposal.inputs, proposal.based_on
    return Decision(part.history.next_step, stage, agent, proposal.suggestion_id, inputs, known, proposal.explain)


def _designed(part: Part, designer: Designer) -> MsgGenerator[Proposal]:
    """The next film; that none can be designed is a decision too, and the end."""
    try:
        return (yield from in_thread(designer.next_film))
    except SDLError as fault:
        refusal = fault

    def experiment(_: dict[str, Any]) -> MsgGenerator[Measurement]:
        yield from ()
        raise refusal

    decision = Decision(part.history.next_step, TARGET, AGENT, f"target-{part.spec.sample}-refused", {}, [])
    yield from do_step(part, decision, experiment, dict, lambda _: {}, lambda: (True, str(refusal)))
    raise refusal
