"""One step of a campaign: a decision, its experiment, what the agent learns from it, and the document of all three."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, RunEngineControlException

from sdl_bluesky.errors import CampaignError, IngestError, PlasmaError, SDLError, Vetoed, WeakSignal
from sdl_bluesky.plans.approval import MOST_VETOES, Approval
from sdl_bluesky.plans.decision import STREAM, Decision
from sdl_bluesky.plans.history import REFUSED, History, Step
from sdl_bluesky.plans.record import Record
from sdl_bluesky.plans.stubs import keyed

logger = logging.getLogger(__name__)

RUN_KEY = "campaign"
FAILURES = (PlasmaError, WeakSignal, IngestError)
"""Errors that say something about the point that was tried; any other ends the campaign."""

Observer = Callable[[Step, str], None]


class Measured(Protocol):
    """An experiment that was done: its run, and its primary event."""

    @property
    def uid(self) -> str: ...  # noqa: D102

    @property
    def data(self) -> Mapping[str, Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Log:
    """Where the steps of a campaign are written.

    Attributes:
        history: what was done so far; completed by each step.
        observer: called after each step, with the reason to stop, if any.
        record: of the campaign's decisions.
        approval: the lab's rules of what a person must allow; None if all steps run freely.
    """

    history: History
    observer: Observer | None
    record: Record
    approval: Approval | None


def do_step(
    log: Log,
    decision: Decision,
    experiment: Callable[[dict[str, Any]], MsgGenerator[Measured]],
    learned: Callable[[Mapping[str, Any]], dict[str, Any]],
    failed: Callable[[SDLError], dict[str, Any]],
    should_stop: Callable[[], tuple[bool, str]],
    failures: tuple[type[SDLError], ...] = FAILURES,
) -> MsgGenerator[None]:
    """One step: adopt a completed experiment, or have it allowed and do it; learn from it, write the decision.

    Args:
        log: of the campaign.
        decision: what is to be done, and why.
        experiment: plan of the experiment, given metadata for its start document.
        learned: tells the agent of the primary event; returns the row for the document.
        failed: tells the agent of a failure; returns what it was told.
        should_stop: whether the stage ends, and why.
        failures: errors that say something about the point that was tried.

    Raises:
        NotApproved: nobody allowed it. CampaignError: too many steps in a row were vetoed.
        SDLError: any other error of the experiment; its decision is in the documents.
    """
    history = log.history
    orphan = history.orphans.pop(decision.suggestion_id, None)
    uid = ""
    said: dict[str, Any] = {}
    try:
        if orphan is None and log.approval is not None:
            yield from log.approval.ask(decision, history.campaign, said)
        if orphan is not None:
            uid, data = orphan
        else:
            measurement = yield from experiment(
                {
                    "campaign": history.campaign,
                    "stage": decision.stage,
                    "step": decision.step,
                    "suggestion_id": decision.suggestion_id,
                }
            )
            uid, data = measurement.uid, measurement.data
        row = learned(data)
        adopted = orphan is not None
        step, values = decision.closed(
            "success", uid, row=row, data=data, adopted=adopted, stop=should_stop(), approval=said
        )
    except Vetoed as fault:
        logger.warning("step %d (%s) is not done: %s", decision.step, decision.stage, fault)
        told = failed(fault)
        step, values = decision.closed(
            "vetoed", "", row=told or None, reason=str(fault), stop=should_stop(), approval=said
        )
    except failures as fault:
        logger.warning("step %d (%s) failed: %s", decision.step, decision.stage, fault)
        told = failed(fault)
        step, values = decision.closed(
            "failed",
            _run_of(fault) or uid,
            row=told or None,
            reason=str(fault),
            stop=should_stop(),
            approval=said,
        )
    except RunEngineControlException:
        raise
    except Exception as fault:
        reason = str(fault) if isinstance(fault, SDLError) else repr(fault)
        told = getattr(fault, "partial", None)
        row = told if isinstance(told, dict) and REFUSED in told else None
        _, values = decision.closed("aborted", _run_of(fault) or uid, row=row, reason=reason, approval=said)
        yield from _write(log.record, values)
        raise
    yield from _write(log.record, values)
    if log.approval is not None:
        log.approval.done(decision, history.campaign)
    history.steps.append(step)
    if log.observer is not None:
        log.observer(step, should_stop()[1])
    if history.vetoes() >= MOST_VETOES:
        raise CampaignError(
            f"{MOST_VETOES} steps in a row were vetoed: change the campaign file or the lab's rules of approval",
            history,
        )


def _run_of(fault: BaseException) -> str:
    """The run in which an error was raised, as the measurement plans note it."""
    return str(getattr(fault, "run_uid", ""))


def _write(record: Record, values: Mapping[str, Any]) -> MsgGenerator[None]:
    readable: Any = record

    def event() -> MsgGenerator[None]:
        yield from bps.create(name=STREAM)
        yield from bps.read(readable)
        yield from bps.save()

    record.put(values)
    yield from bps.checkpoint()
    yield from keyed(event(), RUN_KEY)
    yield from bps.checkpoint()
