"""Agents in processes of their own, whose experiments one queue server does, with people in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml
from _manager import IDLE_WITHIN_S, Queue, running_queue, running_redis, wait_for
from _terminal import SDL, STEADY, Place, Terminal, descendants

from sdl_bluesky.data.approvals import Desk
from sdl_bluesky.data.campaigns import decisions
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.session.lab import default_lab_path

pytestmark = [pytest.mark.system, pytest.mark.redis]

WAIT_S = 120
"""A person's commands take seconds to start, on a loaded machine many."""
HASTY_S = 5
STEP_WITHIN_S = 180.0
CAMPAIGN_WITHIN_S = 400.0
SPUTTER = {
    "schema": 1,
    "name": "copper",
    "sample": "copper",
    "learn": {"cu": {"experiments": 4}},
}
UNWATCHED = {**SPUTTER, "name": "tin", "sample": "tin", "learn": {"sn": {"experiments": 3}}}
GROWTH = {
    "schema": 1,
    "name": "layers",
    "sample": "layers",
    "grow": {
        "preliminary": [{"f_ga": f"{ga} sccm", "f_as": f"{arsine} sccm"} for ga, arsine in ((5.2, 9.4), (4.6, 8.4))],
        "targets": [{"wavelength": "1180 nm", "runs": 1}],
    },
}
RULES = [
    {"do": "ask", "steps": ["learn:cu", "learn:sn"], "over": {"power": "99 W"}},
]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A lab with chamber and reactor in which powers above 99 W wait for a person."""
    shipped = yaml.safe_load(default_lab_path().read_text())
    place = Place(
        tmp_path_factory.mktemp("agents"),
        mocvd=shipped["mocvd"],
        approval={"rules": RULES, "wait": f"{WAIT_S} s"},
        measurement=STEADY,
    )
    hasty = {**place.data, "approval": {"rules": RULES, "wait": f"{HASTY_S} s"}}
    (place.folder / "hasty-lab.yml").write_text(yaml.safe_dump(hasty, sort_keys=False))
    for file in (SPUTTER, UNWATCHED, GROWTH):
        (place.folder / f"{file['name']}.yml").write_text(yaml.safe_dump(file))
    with running_redis(tmp_path_factory.mktemp("redis")) as redis, running_queue(place, redis) as running:
        yield running


def start(queue: Queue, *words: str) -> Terminal:
    return queue.place.start(*SDL, "campaign", *words, "--queue", queue.address)


def waiting(queue: Queue) -> list[str]:
    """Keys of the steps that wait, as a person sees them."""
    told = queue.place.sdl("campaign", "waiting")
    assert told.returncode == 0, told.stderr
    return [line.split()[0] for line in told.stdout.splitlines() if line]


def at_the_desk(queue: Queue) -> list[str]:
    """The same without a command, for looking often."""
    return [request.key for request in Desk(queue.place.home / "approvals").waiting()]


def one_waiting(queue: Queue, agent: Terminal) -> str:
    found: list[str] = []

    def look() -> bool:
        assert agent.process.poll() is None, agent.text
        found[:] = at_the_desk(queue)
        return bool(found)

    wait_for("a step that waits", look, STEP_WITHIN_S)
    assert found[0] in waiting(queue)
    return found[0]


def see_through(queue: Queue, agent: Terminal) -> int:
    """Approve whatever is still asked until an agent's process ends; its exit status."""
    answered: set[str] = set()

    def ended() -> bool:
        for key in set(at_the_desk(queue)) - answered:
            answered.add(key)
            queue.place.sdl("campaign", "approve", key)
        return agent.process.poll() is not None

    wait_for("the campaign ends", ended, CAMPAIGN_WITHIN_S)
    return agent.process.returncode


def quiet(queue: Queue) -> bool:
    """Whether the manager stays idle for eight looks of an agent: one that had looked before may still be on its way."""
    for _ in range(8):
        if queue.api.status(reload=True)["manager_state"] != "idle":
            return False
        time.sleep(0.5)
    return True


def campaign_of(queue: Queue, sample: str) -> str:
    """The id of the campaign of a sample."""
    starts = [run.metadata["start"] for _, run in queue.place.client()["campaigns"].items()]
    [campaign] = [start["uid"] for start in starts if start["sample"] == sample and "resumes" not in start]
    return str(campaign)


def arrived(queue: Queue, sample: str) -> list[dict[str, Any]]:
    """The decisions of the campaign of a sample that are in the catalogue by now."""
    return decisions(queue.place.client(), campaign_of(queue, sample))


def recorded(queue: Queue, sample: str) -> list[dict[str, Any]]:
    """All decisions that were made in it; they arrive in the catalogue a moment after they were made."""
    wait_until_caught_up(queue.place.home / "log", queue.place.client(), 60.0)
    return arrived(queue, sample)


def settled(queue: Queue) -> bool:
    status = queue.api.status(reload=True)
    return status["manager_state"] == "idle" and status["running_item_uid"] is None


def outcomes(queue: Queue, sample: str) -> list[str]:
    """What became of the steps of a campaign that have arrived."""
    try:
        return [step["outcome"] for step in arrived(queue, sample)]
    except (CatalogueError, ValueError):  # it has not arrived, or is only being made
        return []


def test_two_agents_and_a_person_share_one_queue_server(queue: Queue) -> None:
    copper, layers = start(queue, "run", "copper.yml"), start(queue, "run", "layers.yml")
    approved = one_waiting(queue, copper)
    assert queue.place.sdl("campaign", "approve", approved, "--who", "ada").returncode == 0
    assert approved not in waiting(queue)
    vetoed = one_waiting(queue, copper)
    assert vetoed != approved
    refused = queue.place.sdl("campaign", "veto", vetoed)
    assert refused.returncode == 1
    assert "reason" in refused.stderr
    assert queue.place.sdl("campaign", "veto", vetoed, "--why", "thin target", "--who", "ada").returncode == 0

    # a person's item has the right of way: agents wait for it, and do not start it
    from bluesky_queueserver_api import BPlan

    uid = queue.api.item_add(BPlan("measure_rate", "ni", 50.0, 8.0, sample="mine"))["item"]["item_uid"]
    wait_for("the agents make room", lambda: quiet(queue), STEP_WITHIN_S)
    status = queue.api.status(reload=True)
    assert (status["manager_state"], status["items_in_queue"]) == ("idle", 1)
    queue.api.queue_start()
    wait_for(
        "the person's item",
        lambda: uid in [k["item_uid"] for k in queue.api.history_get(reload=True)["items"]],
        STEP_WITHIN_S,
    )

    for agent, name in ((copper, "copper"), (layers, "layers")):
        assert see_through(queue, agent) == 0, agent.text
        agent.expect("is finished")
        assert recorded(queue, name), name
    history = queue.api.history_get(reload=True)["items"]
    assert {item["result"]["exit_status"] for item in history} == {"completed"}
    assert {item["user"] for item in history if item["item_uid"] != uid} == {"sdl agent"}

    steps = recorded(queue, "copper")
    first, second = steps[0], steps[1]
    assert (first["outcome"], first["approval"]["who"], first["approval"]["given"]) == ("success", "ada", True), first[
        "reason"
    ]
    assert (second["outcome"], second["reason"]) == ("vetoed", "ada vetoed this step: thin target")
    assert second["inputs"]["power"] > 99.0
    assert second["inputs"] not in [step["inputs"] for step in steps[2:]]
    assert [step["outcome"] for step in steps].count("success") == 4
    for step in (k for k in steps if k["outcome"] == "success"):
        run = queue.place.client()["raw"][step["outcome_uid"]].metadata["start"]
        assert (run["suggestion_id"], run["sample"]) == (step["suggestion_id"], "copper")
    grown = recorded(queue, "layers")
    assert [step["stage"] for step in grown] == ["preliminary", "preliminary", "grow:1180"]
    assert {step["outcome"] for step in grown} == {"success"}


def test_an_approval_that_nobody_gives_ends_the_campaign_with_nothing_moved(queue: Queue) -> None:
    before = len(queue.api.history_get(reload=True)["items"])
    agent = start(queue, "run", "tin.yml", "--lab", "hasty-lab.yml")
    assert agent.process.wait(STEP_WITHIN_S) == 1, agent.text
    agent.expect("nobody answered")
    assert len(queue.api.history_get(reload=True)["items"]) == before
    [step] = recorded(queue, "tin")
    assert step["outcome"] == "aborted"
    assert "given" not in step["approval"]


def test_an_agent_that_is_killed_goes_on_and_repeats_nothing(queue: Queue) -> None:
    """Killed while its experiment runs: the server ends the experiment, the resumed agent uses it."""
    campaign = campaign_of(queue, "tin")
    agent = start(queue, "resume", campaign)
    key = one_waiting(queue, agent)
    assert queue.place.sdl("campaign", "approve", key).returncode == 0
    wait_for("it runs", lambda: queue.api.status(reload=True)["manager_state"] != "idle")
    for pid in (agent.process.pid, *descendants(agent.process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    again = start(queue, "resume", campaign)
    assert see_through(queue, again) == 0, again.text
    steps = [step for step in recorded(queue, "tin") if step["outcome"] == "success"]
    assert len(steps) == 3
    assert steps[0]["adopted"]
    runs = [run for _, run in queue.place.client()["raw"].items() if run.metadata["start"].get("campaign") == campaign]
    assert len(runs) == 3


def test_a_lost_environment_is_noticed_at_once_and_the_campaign_can_go_on(queue: Queue) -> None:
    """And the agent knows what the person's item had measured before."""
    learn = {"ni": {"experiments": 2, "earlier": [{"sample": "mine"}]}}
    file = {**SPUTTER, "name": "nickel", "sample": "nickel", "learn": learn}
    (queue.place.folder / "nickel.yml").write_text(yaml.safe_dump(file))
    agent = start(queue, "run", "nickel.yml")
    wait_for("it runs", lambda: queue.api.status(reload=True)["re_state"] == "running", STEP_WITHIN_S)
    queue.api.environment_destroy()
    destroyed = time.time()
    assert agent.process.wait(60) == 1, agent.text
    assert "sdl campaign resume" in agent.text
    wait_for("the manager has settled", lambda: settled(queue))
    queue.api.environment_open()  # the lab's services had died with the worker that had started them
    queue.api.wait_for_idle(timeout=IDLE_WITHIN_S)
    assert queue.api.status(reload=True)["worker_environment_exists"], queue.manager.text
    wait_for("the decision of the dead agent arrives", lambda: outcomes(queue, "nickel") == ["aborted"])
    [step] = recorded(queue, "nickel")
    assert step["time"] - destroyed < 12.0  # five seconds to notice, and as much for a loaded machine
    runs = queue.place.client()["raw"].items()
    assert [step["based_on"]] == [[uid for uid, run in runs if run.metadata["start"].get("sample") == "mine"]]
