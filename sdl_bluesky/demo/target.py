"""The demonstration of a wanted composition: learn, check, design, deposit, measure, and deposit again if need be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.demo.sputter import Observer, conclude, prepare
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.session.campaigns import run_campaign_file
from sdl_bluesky.session.lab import LabFile
from sdl_bluesky.session.open import open_session


def parse_target(text: str) -> dict[str, float]:
    """Read ``"Cu=0.6,Sn=0.4"`` as {"Cu": 0.6, "Sn": 0.4}.

    Raises:
        OutOfRange: it is not of this form, or an element is named twice.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        element, equals, value = (k.strip() for k in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not equals or not element or element in found or not 0.0 <= number <= 1.0:
            raise OutOfRange(
                f"{part!r} in {text!r} is no part of a composition: write atomic fractions as in Cu=0.6,Sn=0.4"
            )
        found[element] = number
    return found


def target_campaign(lab: LabFile, target: Mapping[str, float], seed: int) -> CampaignFile:
    """The campaign of the demonstration with a target in place of its film.

    Sources of the wanted elements are learned; if their fractions do not sum to one, those of the demonstration's own
    campaign make the rest.

    Raises:
        UnknownName: the lab has no source of an element. LabFileError: the fractions are no composition.
    """
    text = (files("sdl_bluesky.demo") / "cu_sn.yml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    by_element = {part.element: name for name, part in reversed(lab.chamber.sources.items())}
    for element in target:
        if element not in by_element:
            raise UnknownName("element of a source", element, list(by_element))
    names = [by_element[element] for element, fraction in target.items() if fraction > 0.0]
    if sum(target.values()) < 1.0 - 1e-6:
        names += [name for name in data["learn"] if name not in names]
    usual = next(iter(data["learn"].values()))
    data["learn"] = {name: data["learn"].get(name, usual) for name in names}
    wanted = {element: f"{100.0 * fraction:.12g} %" for element, fraction in target.items()}
    data |= {
        "name": "target",
        "goal": "make a film of a wanted composition: " + ", ".join(f"{k} {v}" for k, v in wanted.items()),
    }
    film = data.pop("deposit")
    data["target"] = {"composition": wanted, "duration": film["duration"], "measure": "rbs"}
    return check({**data, "seed": seed}, CampaignFile, "the demonstration's campaign (--target)")


def run_demo(
    out: Path,
    speed: float,
    seed: int,
    tell: Callable[[str], None],
    observer: Observer | None = None,
    *,
    target: Mapping[str, float],
) -> dict[str, Any]:
    """Run the demonstration from an empty folder to its report; see `demo.sputter.run_demo`.

    Args:
        out, speed, seed, tell, observer: as there.
        target: wanted atomic fraction of each element in the middle of the wafer.

    Returns:
        The summary, as in ``summary.json``; with "target".

    Raises:
        SDLError: something failed; the folder keeps what was done.
    """
    lab, home = prepare(out, speed, seed, {"mocvd": None})
    campaign = target_campaign(lab, target, seed)
    with open_session(lab, home, tell=tell) as session:
        history = run_campaign_file(session, campaign, observer=observer)
        return conclude(session, history.campaign, seed)
