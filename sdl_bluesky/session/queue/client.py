"""One item at a time through a queue server, never in the way of what others have put into its queue.

An agent's items are executed one by one and never enter the queue, so that no queue is ever started by an agent. Items of
others have the right of way: as long as the queue holds any, the agent waits. Who waits, what was lost and what failed is
known within some seconds, for the server is asked twice a second.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdl_bluesky import errors
from sdl_bluesky.errors import PlasmaError, SDLError, ServiceError, ServiceMissing

log = logging.getLogger(__name__)

ADDRESS = "tcp://127.0.0.1:60615"
"""Where `startup/queue-server.yml` lets the manager listen."""
USER_GROUP = "primary"
_LOOK_S = 0.5
_ANSWERS_S = 4.0
_LOOKS_UNTIL_LOST = 3
_LOOKS_UNTIL_STUCK = 8
_GOES_ON = "then `sdl campaign resume` goes on; an experiment that was done all the same is used"
_TELL_S = 60.0
_TYPED = re.compile(r"^sdl_bluesky\.errors\.(\w+): (.*)$", re.MULTILINE)
_SEEN = re.compile(r"^seen: lit (\S+) mTorr, out (\S+) mTorr$", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    """An item that was done: its uid, and the runs that it made."""

    item: str
    runs: tuple[str, ...]


class QueueClient:
    """An agent's access to a queue server.

    Args:
        address: control address of the manager.
        user: under which items stand in the history.
        worker_lives: whether the process lives that runs the lab. The manager does not notice the death of its worker.

    Raises:
        ServiceMissing: the queue server's client is not installed, nobody answers, or no environment is open.
    """

    def __init__(
        self, address: str = ADDRESS, user: str = "sdl agent", worker_lives: Callable[[], bool] = lambda: True
    ) -> None:
        try:
            from bluesky_queueserver_api.zmq import REManagerAPI
        except ImportError as fault:
            raise ServiceMissing(
                f"a campaign through a queue server needs its client: pip install 'sdl-bluesky[queue]' ({fault})"
            ) from None
        self.address, self.user, self._worker_lives = address, user, worker_lives
        self._api: Any = REManagerAPI(
            zmq_control_addr=address, timeout_recv=_ANSWERS_S, timeout_send=_ANSWERS_S, request_fail_exceptions=True
        )
        status = self.status()
        if not status["worker_environment_exists"]:
            self.close()
            raise ServiceMissing(
                f"the queue server at {address} has no open environment: `qserver environment open`, then again"
            )

    def close(self) -> None:
        """Let go of the connection."""
        self._api.close()

    def status(self) -> Mapping[str, Any]:
        """What the manager says of itself.

        Raises:
            ServiceMissing: nobody answers.
        """
        try:
            return dict(self._api.status(reload=True))
        except self._api.RequestTimeoutError as fault:
            raise ServiceMissing(
                f"the queue server at {self.address} does not answer: is `start-re-manager` running? ({fault})"
            ) from fault

    def do(self, plan: str, arguments: Mapping[str, Any]) -> Done:
        """Have one plan done, and wait for its end.

        Args:
            plan: its name.
            arguments: by name, as JSON has them.

        Raises:
            SDLError: the plan failed, with the same type as in the process that ran it; `run_uid` names its run.
            ServiceMissing, ServiceError: the queue server is gone, refuses the item, or has lost it.
        """
        from bluesky_queueserver_api import BPlan

        item = BPlan(plan, **arguments)
        while True:
            self._wait_for_turn()
            self._touch()
            try:
                uid = str(self._api.item_execute(item, user=self.user, user_group=USER_GROUP)["item"]["item_uid"])
                break
            except self._api.RequestFailedError as fault:
                if self._look()["manager_state"] == "idle":
                    raise ServiceError(
                        f"the queue server refuses {plan} ({fault}): put it right, {_GOES_ON}"
                    ) from fault
                # somebody else was quicker: it is their turn
            except self._api.RequestTimeoutError as fault:
                raise self._gone(fault) from fault
        return self._ended(uid, plan)

    def wait_for_campaign(self, campaign: str) -> None:
        """Wait for an item of this campaign that an earlier process of ours left with the server."""
        while True:
            running = self._running()
            if not running or (running.get("kwargs", {}).get("md") or {}).get("campaign") != campaign:
                return
            self._ended(str(running["item_uid"]), str(running["name"]), failed_is_fine=True)

    def _running(self) -> Mapping[str, Any]:
        try:
            return dict(self._api.queue_get(reload=True)["running_item"])
        except self._api.RequestTimeoutError as fault:
            raise self._gone(fault) from fault
        except self._api.RequestFailedError as fault:
            raise ServiceError(f"the queue server cannot read its queue ({fault}): is its Redis running?") from fault

    def _look(self) -> Mapping[str, Any]:
        """The status, for a campaign that goes on."""
        try:
            return dict(self._api.status(reload=True))
        except self._api.RequestTimeoutError as fault:
            raise self._gone(fault) from fault

    def _touch(self) -> None:
        """Let the manager talk to its Redis.

        After Redis was started again the manager's next command fails, and the one after it does not. If it is the end of
        an item that fails, the manager waits for that end for ever.
        """
        try:
            self._api.send_request(method="queue_get")  # the client's own method asks only if the queue has changed
        except self._api.RequestTimeoutError as fault:
            raise self._gone(fault) from fault
        except self._api.RequestFailedError as fault:
            log.warning("the queue server cannot read its queue, and is asked again: %s", fault)

    def _gone(self, fault: Exception) -> ServiceMissing:
        return ServiceMissing(
            f"the queue server at {self.address} does not answer ({fault}): start `start-re-manager`, {_GOES_ON}"
        )

    def _history(self) -> Sequence[Mapping[str, Any]]:
        """Items that were done; none while the server cannot read them."""
        try:
            return list(self._api.history_get(reload=True)["items"])
        except self._api.RequestTimeoutError as fault:
            raise self._gone(fault) from fault
        except self._api.RequestFailedError as fault:
            log.warning("the queue server cannot read its history: %s", fault)
            return []

    def _wait_for_turn(self) -> None:
        told, dead = 0.0, 0
        while True:
            status = self._look()
            if not status["worker_environment_exists"]:
                raise ServiceError(
                    "the environment of the queue server was closed: open it, then `sdl campaign resume`"
                )
            dead = 0 if self._worker_lives() else dead + 1
            if dead >= _LOOKS_UNTIL_LOST:
                raise _dead("before it was asked")
            others = int(status["items_in_queue"])
            if status["manager_state"] == "idle" and not others and not dead:
                return
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                log.info(
                    "waiting for the queue server: it is %s, and its queue holds %d item(s) of others",
                    status["manager_state"],
                    others,
                )
            time.sleep(_LOOK_S)

    def _ended(self, uid: str, plan: str, failed_is_fine: bool = False) -> Done:
        """Wait for the end of an item."""
        missed = dead = stuck = 0
        while True:
            status = self._look()
            if status["running_item_uid"] != uid:
                for item in reversed(self._history()):
                    if item["item_uid"] == uid:
                        return _outcome(item, plan, failed_is_fine)
                missed += 1
                if missed >= _LOOKS_UNTIL_LOST:
                    raise ServiceError(
                        f"the queue server has lost item {uid} ({plan}), or cannot read its Redis: look at the machine, "
                        f"{_GOES_ON}"
                    )
            elif not status["worker_environment_exists"]:
                raise ServiceError(
                    f"the environment of the queue server died while it did {plan}: the machine makes itself safe; open "
                    "it again, then `sdl campaign resume`"
                )
            dead = 0 if self._worker_lives() else dead + 1
            if dead >= _LOOKS_UNTIL_LOST:
                raise _dead(f"while it did {plan}")
            self._touch()
            stuck = stuck + 1 if _is_stuck(status, uid) else 0
            if stuck >= _LOOKS_UNTIL_STUCK:
                raise ServiceError(
                    f"the queue server does not notice that its worker has ended {plan} (its Redis was away then, most "
                    f"likely): end `start-re-manager` and start it again, {_GOES_ON}"
                )
            time.sleep(_LOOK_S)


def _dead(when: str) -> ServiceError:
    return ServiceError(
        f"the worker of the queue server died {when}, and the machine makes itself safe: `qserver environment destroy`, "
        f"`qserver environment open`, {_GOES_ON}"
    )


def _is_stuck(status: Mapping[str, Any], uid: str) -> bool:
    """Whether the manager waits for the end of an item on which nobody works."""
    waits = status["running_item_uid"] == uid and status["manager_state"] == "executing_queue"
    return waits and status["worker_environment_state"] == "idle"


def _outcome(item: Mapping[str, Any], plan: str, failed_is_fine: bool) -> Done:
    result = item["result"]
    runs = tuple(str(uid) for uid in result["run_uids"])
    if result["exit_status"] == "completed" or failed_is_fine:
        return Done(str(item["item_uid"]), runs)
    otherwise = (
        f"{plan} ended as {result['exit_status']} ({result['msg']}): look at the machine and the queue server, then "
        "`sdl campaign resume` goes on"
    )
    fault = typed_fault(str(result["traceback"]), otherwise)
    fault.run_uid = runs[-1] if runs else ""  # type: ignore[attr-defined]
    raise fault


def typed_fault(traceback: str, otherwise: str) -> SDLError:
    """The error of another process, from its traceback: of the same type where it is one of this package's.

    Args:
        traceback: as Python prints it.
        otherwise: message where the error is none of ours.
    """
    found = _TYPED.findall(traceback)
    if not found:
        return ServiceError(otherwise)
    name, message = found[-1]
    if name == "PlasmaError":
        seen = _SEEN.search(traceback)
        lit, out = (_number(text) for text in seen.groups()) if seen else (None, None)
        return PlasmaError(message, lit_pressure_mTorr=lit, out_pressure_mTorr=out)
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, (errors.DeviceError, errors.WeakSignal, errors.OutOfRange)):
        return kind(message)
    return ServiceError(f"{name}: {message}")


def _number(text: str) -> float | None:
    return None if text == "unknown" else float(text)
