"""Estimate beside use, for ten campaigns on the simulated instruments: `sdl bench campaign`.

All of them are run in one new laboratory, one after the other. Before each, its estimate is made with what is known by
then: of the first one nothing but the lab file, of the later ones what the earlier ones told. A row is one quantity of one
campaign; those of "all" are the sums over the campaigns. Quantities whose share is not a matter of the plan (thinking
between experiments) are not judged.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.estimate.used import beside
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.session.campaigns import Spec, run_campaign_file
from sdl_bluesky.session.estimates import estimate, used_by
from sdl_bluesky.session.lab import LabFile, load_lab
from sdl_bluesky.session.open import Session, open_session

SPEED = 100.0
CATCH_UP_S = 60.0
NOT_JUDGED = ("between", "argon_between")
"""They are how long a computer thinks."""

CU = {"cu": {"experiments": 5}}
TWO = {"cu": {"experiments": 3}, "sn": {"experiments": 3}}
FILM = {"powers": {"cu": "50 W", "sn": "40 W"}, "pressure": "8 mTorr", "duration": "300 s"}
LAYERS = [{"f_ga": "5.3 sccm", "f_as": "9.6 sccm"}, {"f_ga": "6.2 sccm", "f_as": "10.9 sccm"}]
CAMPAIGNS: Mapping[str, Mapping[str, Any]] = {
    "one source": {"learn": CU},
    "two sources and a film": {"learn": TWO, "deposit": FILM},
    "checks before a film": {"learn": TWO, "checks": 2, "deposit": FILM},
    "low powers": {"learn": {"sn": {"experiments": 5, "power": "10 to 30 W"}}},
    "high powers": {"learn": {"ni": {"experiments": 5, "power": "60 to 100 W"}}},
    "a light metal at random": {"learn": {"al": {"experiments": 5, "agent": "random"}}},
    "many experiments": {"learn": {"cu": {"experiments": 10, "agent": "sobol"}}},
    "to a tolerance": {"learn": {"ni": {"experiments": 9, "tolerance": "6 %"}}},
    "one experiment, a long film": {
        "learn": {"cu": {"experiments": 1}, "sn": {"experiments": 1}},
        "deposit": {**FILM, "duration": "1800 s"},
    },
    "growth": {"grow": {"preliminary": LAYERS, "targets": [{"wavelength": "1180 nm", "runs": 1}]}},
}
QUICK = ("one source", "checks before a film")


def run(seeds: int | None, quick: bool, tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Run the campaigns; a row for each quantity."""
    lab = laboratory()
    names = [k for k in CAMPAIGNS if not quick or k in QUICK]
    with tempfile.TemporaryDirectory() as folder, open_session(lab, Path(folder), analyse=False) as session:
        judged: list[dict[str, Any]] = []
        for number, name in enumerate(names):
            for row in compared(session, spec_of(name, number)):
                if row["judged"] and "error_percent" in row:
                    judged.append(row)
                yield {"method": "earlier runs" if number else "lab file alone", "case": name, **row}
            close = sum(abs(k["error_percent"]) <= 10.0 for k in judged)
            tell(f"{name}: {len(judged)} quantities so far, {close} of them within 10 %")
        yield from summed(judged)


def summed(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each quantity: what all campaigns used, beside the sum of what was expected of each."""
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        used, expected = (sum(float(row[k]) for row in mine) for k in ("used", "expected"))
        yield {
            "method": "sum",
            "case": "all",
            "name": name,
            "used": used,
            "expected": expected,
            "error_percent": 100.0 * (expected - used) / used,
            "judged": True,
        }


def laboratory(speed: float = SPEED) -> LabFile:
    """The shipped laboratory at a high speed, without its RBS end station."""
    lab = load_lab()
    assert lab.twin is not None
    return lab.model_copy(update={"name": "study", "rbs": None, "twin": lab.twin.model_copy(update={"speed": speed})})


def spec_of(name: str, seed: int = 0) -> Spec:
    """One of the campaigns."""
    body = {"schema": 1, "name": name, "sample": f"study-{seed}", "seed": seed, **CAMPAIGNS[name]}
    return check(body, GrowthFile if "grow" in body else CampaignFile, f"campaign {name!r}")


def compared(session: Session, spec: Spec) -> list[dict[str, Any]]:
    """Estimate a campaign, run it, read from its documents what it used."""
    began = time.monotonic()
    expected = estimate(session, spec)
    took = time.monotonic() - began
    history = run_campaign_file(session, spec)
    wait_until_caught_up(session.home.log, session.client, CATCH_UP_S)
    found = used_by(session.client, history.campaign, session.lab)
    rows = beside(expected, found)
    return [{**k, "judged": k["name"] not in NOT_JUDGED and k["used"] > 0, "estimated_in_s": took} for k in rows]
