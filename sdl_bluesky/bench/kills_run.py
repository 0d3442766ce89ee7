"""One campaign from its beginning to its end, through kills and resumptions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdl_bluesky.bench.kills_lab import READY_S, Laboratory, Program, Redis
from sdl_bluesky.bench.kills_queue import QueueServer
from sdl_bluesky.bench.kills_watch import Watch, chain_of
from sdl_bluesky.errors import ServiceError

WHOLE_S = 1800.0
"""A campaign that takes longer hangs."""
TRIES = 4
"""Resumptions in a row that may fail."""
_LOOK_S = 0.1


@dataclass
class Killed:
    """One kill.

    Attributes:
        victim: "agent", "worker", or a service.
        at_s: since the campaign began.
        doing: what went on.
        decisions: how many there were in the log.
        became: what the campaign did.
        noticed_s: until its process had ended; None if it went on.
    """

    victim: str
    at_s: float
    doing: str
    decisions: int
    became: str = "went on"
    noticed_s: float | None = None
    when: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Disturbed:
    """A campaign that is finished in spite of all."""

    campaign: str
    kills: Sequence[Killed]
    watch: Watch
    took_s: float

    @property
    def decided(self) -> list[dict[str, Any]]:
        """Its decisions, in order."""
        return self.watch.decided(self.campaign)


def disturb(
    lab: Laboratory,
    file: Path,
    plan: Sequence[tuple[str, float]],
    experiment_s: float,
    redis: Redis | None,
    queue: QueueServer | None,
    tell: Callable[[str], None],
) -> Disturbed:
    """Run a campaign, kill as planned, resume what has ended, to its end.

    Args:
        lab: where.
        file: the campaign file.
        plan: victims, and moments as parts of an experiment's length.
        experiment_s: that length.
        redis: of the queue server.
        queue: does the experiments; None if the campaign's process does.
        tell: for lines of text.

    Raises:
        ServiceError: it cannot be resumed, hangs, or was finished before all kills were done.
    """
    return _Course(lab, redis, queue, tell).run(file, plan, experiment_s)


class _Course:
    def __init__(
        self, lab: Laboratory, redis: Redis | None, queue: QueueServer | None, tell: Callable[[str], None]
    ) -> None:
        self.lab, self.redis, self.queue, self.tell = lab, redis, queue, tell
        self.watch, self.kills = Watch.from_now(lab.home.log), list[Killed]()
        self.began = time.monotonic()
        self.process: Program | None = None
        self.fails = 0

    def run(self, file: Path, plan: Sequence[tuple[str, float]], experiment_s: float) -> Disturbed:
        self.process = self._start("run", str(file))
        for victim, part in plan:
            if not self._goes_on(part * experiment_s):
                left = len(plan) - len(self.kills)
                raise ServiceError(f"the campaign was finished with {left} kill(s) left: give it more experiments")
            self._kill(victim)
            self._settle()
        while self._goes_on(5.0):
            pass
        self.watch.look()
        return Disturbed(self.campaign, self.kills, self.watch, time.monotonic() - self.began)

    @property
    def campaign(self) -> str:
        return chain_of(self.watch.starts, self.watch.campaign_runs()[0])

    def _start(self, *words: str) -> Program:
        queue = () if self.queue is None else ("--queue", self.queue.address)
        self.runs_before = len(self.watch.campaign_runs())
        self.started = time.monotonic()
        return self.lab.campaign(*words, *queue)

    def _goes_on(self, seconds: float) -> bool:
        """Whether the campaign goes on for so long after its process has begun, or gone on with, its run."""
        assert self.process is not None
        deadline: float | None = None
        while deadline is None or time.monotonic() < deadline:
            left = _LOOK_S if deadline is None else max(0.0, deadline - time.monotonic())
            status = self.process.ended(left)
            self.watch.look()
            if status == 0:
                return False
            if status is not None:
                self._notice()
                self._resume()
                deadline = None
            elif deadline is None and len(self.watch.campaign_runs()) > self.runs_before:
                self.fails, deadline = 0, time.monotonic() + seconds
            self._patience(deadline is None)
        return True

    def _patience(self, waiting: bool) -> None:
        assert self.process is not None
        now = time.monotonic()
        if now - self.began > WHOLE_S or (waiting and now - self.started > READY_S):
            raise ServiceError(f"the campaign hangs ({self.watch.doing()}): {self.process.said(20)}")

    def _settle(self) -> None:
        """Wait until the campaign has ended by the last kill, or has decided something in spite of it."""
        assert self.process is not None
        kill = self.kills[-1]
        while (status := self.process.ended(_LOOK_S)) is None:
            self.watch.look()
            if any(k["outcome"] != "aborted" for k in self.watch.decided(self.campaign)[kill.decisions :]):
                return
            self._patience(False)
            if time.monotonic() - kill.when > READY_S:
                raise ServiceError(
                    f"{READY_S:g} s after the {kill.victim} was killed: {self.watch.doing()}, no decision"
                )
        if status != 0:
            self._notice()
            self._resume()

    def _notice(self) -> None:
        """The campaign has ended by the last kill, also if a decision came in between whose experiment was over by then."""
        assert self.process is not None
        if self.kills and self.kills[-1].noticed_s is None:
            self.kills[-1].noticed_s = time.monotonic() - self.kills[-1].when
            self.kills[-1].became = f"{_fault(self.process.said(3))}, resumed"

    def _resume(self) -> None:
        """Do what a person does who finds the campaign ended."""
        assert self.process is not None
        self.watch.look()
        self.fails += 1
        if self.fails > TRIES or not self.watch.campaign_runs():
            raise ServiceError(f"the campaign cannot be resumed: {self.process.said(20)}")
        self.tell(f"          {self.process.said(1)}")
        self.lab.wait_until_back()
        mended = "" if self.queue is None else self.queue.mend()
        if mended and self.kills:
            self.kills[-1].became += f", {mended}"
        self.process = self._start("resume", self.campaign)

    def _kill(self, victim: str) -> None:
        assert self.process is not None
        self.watch.look()
        if victim in ("tiled", "writer"):
            self.lab.wait_until_back()
            self.watch.look()
        kill = Killed(victim, time.monotonic() - self.began, self.watch.doing(), len(self.watch.decided(self.campaign)))
        if victim == "agent":
            self.process.kill()
            self.process.process.wait()
        elif victim == "worker" and self.queue is not None:
            self.queue.kill_worker()
        elif victim == "redis" and self.redis is not None:
            self.redis.kill()
        else:
            self.lab.kill_service(victim)
        self.kills.append(kill)
        self.tell(f"{kill.at_s:6.1f} s  {victim:7s} killed: {kill.decisions} decisions, {kill.doing}")


def _fault(said: str) -> str:
    """The type of the error with which a command ended; "killed" if it said nothing of one."""
    found = re.findall(r"^sdl: (\w+):", said, re.MULTILINE) or re.findall(
        r"^([\w.]+(?:Error|Exception))", said, re.MULTILINE
    )
    return str(found[-1]) if found else "killed"
