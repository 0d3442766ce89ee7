"""Campaigns killed with -9 at moments of chance lose nothing, repeat nothing and decide the same: the quick study."""

from __future__ import annotations

from typing import Any

import pytest

from sdl_bluesky.bench import kills
from sdl_bluesky.bench.rows import show_rows

pytestmark = [pytest.mark.system, pytest.mark.redis]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    found = list(kills.run(None, True, print))
    show_rows("kills", found)
    return found


def of(rows: list[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["method"] == method]


def test_every_planned_victim_is_killed_and_the_next_decision_is_the_same(rows: list[dict[str, Any]]) -> None:
    killed = of(rows, "kill")
    wanted = [name for victims in kills.QUICK.values() for name, count in victims.items() for _ in range(count)]
    assert sorted(row["victim"] for row in killed) == sorted(wanted)
    differences = [row["next_differs"] for row in killed if row["next_differs"] is not None]
    assert len(differences) >= len(wanted) - 1  # nothing came after the very last decision
    assert max(differences) <= 1e-6
    [worker] = [row for row in killed if row["victim"] == "worker"]
    assert "ServiceError, resumed" in worker["became"]


def test_all_decisions_are_the_same_when_they_are_made_again(rows: list[dict[str, Any]]) -> None:
    again = of(rows, "decisions")
    assert [row["case"] for row in again] == list(kills.QUICK)
    assert min(row["recomputed"] for row in again) >= 1
    assert max(row["largest_difference"] for row in again) <= 1e-6


def test_no_event_is_lost_and_no_experiment_is_done_or_learned_twice(rows: list[dict[str, Any]]) -> None:
    for row in of(rows, "events"):
        assert row["events"] >= 20
        assert (row["lost"], row["surplus"], row["open"]) == (0, 0, 0)
    for row in of(rows, "experiments"):
        assert row["learned"] >= 3
        assert (row["ingested_twice"], row["repeated"], row["unused"]) == (0, 0, 0)


def test_what_was_learned_is_worth_as_much_as_ever(rows: list[dict[str, Any]]) -> None:
    [error] = of(rows, "final error")
    assert error["chance"] > 1e-3
    [layer] = of(rows, "final layer")
    assert abs(layer["true_miss_nm"] - layer["measured_miss_nm"]) < 10.0
