"""A RunEngine for rehearsals: it does what a plan's messages say at once, and notes what each run used.

Unlike `bluesky.simulators.RunEngineSimulator` it throws the errors of devices into the plan, as the RunEngine does: a plan
that lowers a pressure until a plasma goes out needs them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bluesky.utils import FailedStatus, Msg, MsgGenerator

from sdl_bluesky.plans.estimate.course import Course

T = TypeVar("T")
BASELINE_TICKS = 1.5
"""Everything is read once when a run begins, with readings that are of one moment."""
PATIENCE_S = 20.0
"""Real seconds in which a device of a rehearsal must be done."""


@dataclass(frozen=True)
class Rehearsed:
    """One run of a rehearsal.

    Attributes:
        start: its start document, as the plan wrote it.
        process_s: process time that it took.
        used: what it used, by name.
        thought_s: real seconds between the run before and this one: an agent was thinking.
        status: "success" or "fail".
    """

    start: Mapping[str, Any]
    process_s: float
    used: Mapping[str, float]
    thought_s: float
    status: str


@dataclass
class Walk:
    """Takes plans through their messages.

    Attributes:
        course: the time of the rehearsal.
        runs: experiments so far (a campaign's own run is none).
    """

    course: Course
    runs: list[Rehearsed] = field(default_factory=list)
    _open: dict[Any, tuple[dict[str, Any], float, dict[str, float], float]] = field(default_factory=dict)
    _count: int = 0
    _ended: float | None = None

    def through(self, plan: MsgGenerator[T]) -> T:
        """Do a plan; returns what it returns, raises what it raises."""
        answer: Any = None
        fault: Exception | None = None
        while True:
            try:
                message = plan.send(answer) if fault is None else plan.throw(fault)
            except StopIteration as end:
                return end.value
            answer, fault = None, None
            try:
                answer = self._do(message)
            except Exception as error:
                fault = error

    def _do(self, message: Msg) -> Any:
        command, thing = message.command, message.obj
        if command == "open_run":
            return self._opened(message)
        if command == "close_run":
            return self._closed(message)
        if command in ("trigger", "kickoff", "set", "complete"):
            self._finish(getattr(thing, command)(*message.args))
        elif command == "stop":
            thing.stop()
        elif command == "read":
            return thing.read()
        elif command == "sleep":
            self.course.run(float(message.args[0]) * 1.0)
        elif command == "wait_for":
            return self._futures(message.args[0])
        return True if command == "wait" else None

    def _finish(self, status: Any) -> None:
        try:
            status.wait(PATIENCE_S)
        except Exception as error:
            raise FailedStatus(status) from error
        self.course.settle()

    def _futures(self, makers: Any) -> set[Any]:
        with ThreadPoolExecutor(1) as pool:  # this thread may run a loop already, as that of a notebook does
            found = {pool.submit(_run, make) for make in makers}
        for future in found:
            future.result()
        return found

    def _opened(self, message: Msg) -> str:
        self._count += 1
        uid, now = f"rehearsal-{self._count}", time.monotonic()
        thought = 0.0 if self._ended is None else now - self._ended
        self._open[message.run] = (dict(message.kwargs), self.course.now_s, dict(self.course.used), thought)
        if message.run is not None:
            self._ended = now
        else:
            self.course.run(BASELINE_TICKS * self.course.tick_s)
        return uid

    def _closed(self, message: Msg) -> None:
        start, began_s, before, thought = self._open.pop(message.run)
        if message.run is not None:
            return
        used = {k: v - before.get(k, 0.0) for k, v in self.course.used.items() if v != before.get(k, 0.0)}
        status = str(message.kwargs.get("exit_status") or "success")
        self.runs.append(Rehearsed(start, self.course.now_s - began_s, used, thought, status))
        self._ended = time.monotonic()


def _run(make: Any) -> Any:
    async def wait() -> Any:
        return await make()

    return asyncio.run(wait())
