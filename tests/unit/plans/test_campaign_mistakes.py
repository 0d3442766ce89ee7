"""Mistakes that people make in campaign files: each is named with its line, and with what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ophyd.sim import make_fake_device

from sdl_bluesky.data.yamlfile import located
from sdl_bluesky.devices import Chamber, make_chamber
from sdl_bluesky.errors import SDLError
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.preflight import check_campaign
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.session.campaigns import read_campaign_file
from sdl_bluesky.session.lab import load_lab
from sdl_bluesky.session.machines import chamber_spec

EXAMPLES = Path(__file__).parents[3] / "startup" / "campaigns"

RANGES = "power: 10 to 100 W, pressure: 4 to 20 mTorr"
IN_THE_FILE = {
    "a unit is missing": ("composition", "power: 10 to 100 W, pressure: 4 to 20 mTorr, experiments: 8}\n  sn",
                          "power: 10 to 100, pressure: 4 to 20 mTorr, experiments: 8}\n  sn", 7, "has no unit"),
    "another unit": ("composition", "pressure: 8 mTorr", "pressure: 1 Pa", 12, "give it in mTorr"),
    "a range the wrong way round": ("one-source", "10 to 100 W", "100 to 10 W", 7, "the lower end must come first"),
    "a misspelt key": ("composition", "tolerance: 1 %", "tolerence: 1 %", 11, "did you mean 'tolerance'"),
    "a key too many": ("one-source", "goal:", "colour: red\ngoal:", 4, "correct its name or remove it"),
    "a key twice": ("composition", "  depositions: 2", "  depositions: 2\n  tolerance: 2 %", 15, "remove one of them"),
    "no sample": ("one-source", "sample: copper-1\n", "", 2, "sample: this key is missing: add it"),
    "nothing to learn": ("one-source", f"  cu: {{{RANGES}, experiments: 10, tolerance: 3 %}}", "  {}", 6, "at least 1"),
    "no budget": ("one-source", "experiments: 10", "experiments: 0", 7, "greater than or equal to 1"),
    "half an experiment": ("one-source", "experiments: 10", "experiments: 10.5", 7, "valid integer"),
    "an agent of no name": ("one-source", "tolerance: 3 %", "agent: bo", 7, "'balm', 'random' or 'sobol'"),
    "percents that are no whole": ("composition", "Sn: 40 %", "Sn: 50 %", 9, "give parts of one"),
    "an element of no name": ("composition", "Cu: 60 %, Sn: 40 %", "Cu: 60 %, Xx: 40 %", 9, "Xx"),
    "duration and thickness": ("composition", "  duration: 600 s", "  duration: 600 s\n  thickness: 50 nm", 9,
                               "either duration or thickness"),
    "two films": ("composition", "target:", "deposit: {powers: {cu: 4 W}, pressure: 8 mTorr, duration: 9 s}\ntarget:", 2,
                  "give one of them"),
    "not a number": ("composition", "duration: 600 s", "duration: nan s", 13, "not a finite number"),
    "a schema of the future": ("one-source", "schema: 1", "schema: 2", 2, "should be 1"),
    "a layer off the range": ("growth", "{f_ga: 5.2 sccm", "{f_ga: 9.2 sccm", 10, "outside 2 to 8 sccm"),
    "a light that no alloy has": ("growth", "wavelength: 1180 nm", "wavelength: 2180 nm", 17, "here it reaches"),
    "a tab": ("one-source", "  cu:", "\tcu:", 7, "not valid YAML"),
}  # fmt: skip
AGAINST_THE_LAB = {
    "a source that the lab has not": ("one-source", "  cu:", "  zz:", 7, "choose one of 'cu'"),
    "more power than there is": ("one-source", "10 to 100 W", "10 to 300 W", 7, "0 to 100 W"),
    "a sensor that the lab has not": ("one-source", "learn:", "sensor: qcm9\nlearn:", 6, "choose one of 'qcm1'"),
    "a film of what was not learned": ("composition", f"  sn: {{{RANGES}, experiments: 8}}\n", "", 8, "Sn"),
    "a pressure that was not learned": ("composition", "pressure: 8 mTorr", "pressure: 30 mTorr", 9, "4 to 20 mTorr"),
}  # fmt: skip


def chamber_of_the_lab() -> Chamber:
    """The chamber of the shipped lab file, on devices without a machine."""
    return make_chamber("X:", chamber_spec(load_lab()), make=make_fake_device)


def planted(folder: Path, mistake: tuple[str, str, str, int, str]) -> Path:
    name, old, new, *_ = mistake
    text = (EXAMPLES / f"{name}.yml").read_text()
    assert text.count(old) == 1
    path = folder / "campaign.yml"
    path.write_text(text.replace(old, new))
    return path


def told(fault: SDLError) -> str:
    """As the command line tells it."""
    return "\n".join([str(fault), *getattr(fault, "__notes__", ())])


@pytest.mark.parametrize("mistake", IN_THE_FILE.values(), ids=IN_THE_FILE)
def test_a_mistake_in_the_file_is_named_with_line_and_remedy(mistake: tuple, tmp_path: Path) -> None:
    path = planted(tmp_path, mistake)
    with pytest.raises(SDLError) as caught:
        read_campaign_file(path)
    assert re.search(rf"\bline {mistake[3]}\b", told(caught.value)), told(caught.value)
    assert mistake[4] in told(caught.value)


@pytest.mark.parametrize("mistake", AGAINST_THE_LAB.values(), ids=AGAINST_THE_LAB)
def test_a_mistake_that_only_the_lab_shows_is_named_too(mistake: tuple, tmp_path: Path) -> None:
    path = planted(tmp_path, mistake)
    spec, chamber = read_campaign_file(path), chamber_of_the_lab()
    assert isinstance(spec, CampaignFile)
    try:
        with pytest.raises(SDLError) as caught, located(path):
            check_campaign(chamber, spec, SputterSettings(), geometry=load_lab().geometry(), end_station=True)
    finally:
        chamber.liveness.close()
    assert re.search(rf"\bline {mistake[3]}\b", told(caught.value)), told(caught.value)
    assert mistake[4] in told(caught.value)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_the_examples_are_campaigns_of_the_shipped_lab(path: Path) -> None:
    spec = read_campaign_file(path)
    if isinstance(spec, CampaignFile):
        chamber = chamber_of_the_lab()
        try:
            check_campaign(chamber, spec, SputterSettings(), geometry=load_lab().geometry(), end_station=True)
        finally:
            chamber.liveness.close()
