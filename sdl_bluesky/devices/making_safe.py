"""Making a machine safe from outside of any plan, whatever state its IOC is in."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .pausing import SafeStep
from .status import ca_thread

if TYPE_CHECKING:
    from .machine import Machine

log = logging.getLogger(__name__)

STEPS_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class SafeStepResult:
    """One step of making safe.

    Attributes:
        step: what was done.
        ok: the put was sent to a living IOC.
        message: why not, if not.
    """

    step: str
    ok: bool
    message: str = ""


def announce(machine: Machine) -> None:
    """Count an interruption of every device that can be unsafe; `make_safe_now(machine, announced=True)` must follow.

    For a caller that may not wait: whoever compares the counts from now on knows, though nothing is sent yet.
    """
    for owner in machine.safe_owners:
        owner.interrupt()


def make_safe_now(
    machine: Machine, timeout_s: float = STEPS_TIMEOUT_S, *, announced: bool = False
) -> list[SafeStepResult]:
    """Close every shutter, then switch off whatever else can be unsafe, outside any plan, each step on its own.

    Sends and does not wait for the machine; takes `timeout_s` at most, also when the IOC is gone or hung. Failures are
    logged and returned, never raised. Counts as an interruption of every device that can be unsafe, unless that was
    announced; it is over when the last step has ended, which may be after `timeout_s`.
    """
    if not announced:
        announce(machine)
    threads: list[threading.Thread] = []
    try:
        steps = [step for owner in machine.safe_owners for step in owner.safe_steps()]
        return _send(machine, steps, timeout_s, threads)
    finally:
        _settle(machine, [thread for thread in threads if thread.is_alive()])


def _settle(machine: Machine, late: list[threading.Thread]) -> None:
    """Once nothing is on its way any more: a put that comes later would undo what a plan does next."""

    def settle() -> None:
        for thread in late:
            thread.join()
        for owner in machine.safe_owners:
            owner.settle()

    if late:
        ca_thread(settle, f"safe: late steps of {machine.name}").start()
    else:
        settle()


def _send(
    machine: Machine, steps: list[SafeStep], timeout_s: float, threads: list[threading.Thread]
) -> list[SafeStepResult]:
    steps.sort(key=lambda step: not step[0].startswith("close"))
    results: dict[str, SafeStepResult] = {}

    def run(what: str, step: Any) -> None:
        try:
            step()
        except Exception as exc:
            results[what] = SafeStepResult(what, False, str(exc))
        else:
            problem = machine.liveness.problem()
            note = "" if problem is None else f"sent, but {problem}"
            results[what] = SafeStepResult(what, problem is None, note)

    threads += [ca_thread(lambda w=what, s=step: run(w, s), f"safe: {what}") for what, step in steps]
    end = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"not sent within {timeout_s:g} s"
    found = [results.get(what) or SafeStepResult(what, False, late) for what, _ in steps]
    failed = [result for result in found if not result.ok]
    if failed:
        told = "; ".join(f"{result.step}: {result.message}" for result in failed)
        log.error("making %s safe: %d of %d steps failed: %s", machine.name, len(failed), len(found), told)
    return found
