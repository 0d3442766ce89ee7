"""Files of material systems: what they say, and what is said of their faults."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from rbs_samples import R33_LITHIUM

from sdl_bluesky.data.rbs.system_file import SHIPPED, Training, read_system, recipe_of
from sdl_bluesky.errors import LabFileError, OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_mdn.training import Recipe

ROOT = Path(__file__).parents[3]
GOOD = """\
schema: 1
name: ni-al
fluence: [0.5, 2]
layers:
  - {Ni: [5, 2000], Al: [5, 2000]}
  - {Si: 30000}
experiment:
  ion: 4He
  E_keV: 2000
  theta_deg: 165
  slope_keV: 4
  resolution_fwhm_keV: 20
  fluence_ions: 3.0e+13
  solid_angle_msr: 10
  channels: 512
  roi: [[100, 430]]
training: {spectra: 3000, steps: 60, batch: 128, seed: 3}
"""


@pytest.fixture
def system(tmp_path: Path):
    def write(old: str = "schema: 1", new: str = "schema: 1") -> Path:
        assert old in GOOD
        path = tmp_path / "system.yml"
        path.write_text(GOOD.replace(old, new))
        return path

    return write


def test_a_file_says_experiment_layers_and_ranges(system) -> None:
    found = read_system(system())
    assert found.names == ("Ni@1", "Al@1")
    assert found.box[0].tolist() == [5.0, 5.0]
    assert found.box[1].tolist() == [2000.0, 2000.0]
    assert found.held.tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 30000.0]]
    assert found.fluence == (0.5, 2.0)
    assert (found.setup.energy_keV, found.setup.channels, found.roi) == (2000.0, 512, ((100, 430),))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Ni: [5, 2000]", "Ni: [2000, 5]", r"line 5: layers\.0\.Ni: \[2000, 5\] is no range"),
        ("Ni: [5, 2000]", "Ni: [5, 2000, 7]", r"line 5: layers\.0\.Ni: write a range as two numbers"),
        ("Ni: [5, 2000]", "Ni: [5, .nan]", r"line 5: layers\.0\.Ni: must be a finite number"),
        ("Ni: [5, 2000]", "Nj: [5, 2000]", r"line 5: layers\.0\.Nj.*unknown element 'Nj'"),
        ("{Si: 30000}", "{Si: thick}", r"line 6: layers\.1\.Si: 'thick' is text"),
        ("[5, 2000], Al: [5, 2000]", "20, Al: 30", r"line 4: layers: no density is unknown"),
        ("E_keV: 2000", "E_keV: 2 MeV", r"line 9: experiment\.E_keV: .*write 2000"),
        ("E_keV: 2000", "E_kev: 2000", r"line 9: experiment\.E_kev: this key is not known"),
        ("  channels: 512\n", "", r"line 7: experiment: channels is missing"),
        ("roi: [[100, 430]]", "roi: [[430, 100]]", r"line 16: experiment\.roi\.0: .*is empty"),
        ("roi: [[100, 430]]", "roi: [[100, 513]]", r"line 7: experiment: roi: it ends at 513"),
        ("[[100, 430]]\n", "[[100, 430]]\n  nuisance: {charge: 1}\n", r"line 17: experiment\.nuisance\.charge"),
        (
            "[[100, 430]]\n",
            "[[100, 430]]\n  cross_sections: [a.r33]\n",
            r"line 17: experiment\.cross_sections: .*a\.r33",
        ),
        ("fluence: [0.5, 2]", "fluence: [2, 0.5]", r"line 3: fluence: \[2, 0\.5\] is no range"),
        ("fluence: [0.5, 2]", "fluence: [0, 2]", r"line 3: fluence: .*over 0"),
        ("schema: 1", "schema: 2", r"line 1: schema"),
        ("name: ni-al", "name: a/b", r"line 2: name"),
        ("name: ni-al", "nmae: ni-al", r"line 2: nmae: .*did you mean 'name'"),
        ("steps: 60", "step: 60", r"line 17: training\.step: .*did you mean 'steps'"),
        ("steps: 60", "steps: 0", r"line 17: training\.steps"),
        ("steps: 60", "steps: 2.5", r"line 17: training\.steps"),
        ("seed: 3", "rate: .nan", r"line 17: training\.rate: .*finite"),
        ("steps: 60", "steps: 60, steps: 70", r"line 17: steps: .*second time"),
    ],
)
def test_a_fault_is_told_with_its_line(system, old: str, new: str, told: str) -> None:
    with pytest.raises(LabFileError, match=told):
        read_system(system(old, new))


def test_all_faults_of_the_layers_are_told_at_once(system) -> None:
    with pytest.raises(LabFileError, match=r"(?s)2 fault.*layers\.0\.Ni.*layers\.0\.Al"):
        read_system(system("Ni: [5, 2000], Al: [5, 2000]", "Ni: [9, 5], Al: much"))


def test_what_is_neither_a_file_nor_shipped_is_told() -> None:
    with pytest.raises(UnknownName, match="cusn-glass"):
        read_system("nickel")
    with pytest.raises(LabFileError, match="give the path of an existing file"):
        read_system("nickel.yml")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_systems_can_be_read(name: str) -> None:
    assert read_system(name).name == name
    assert recipe_of(name).batch > 0


def test_tables_are_looked_for_beside_the_file(system, tmp_path: Path) -> None:
    (tmp_path / "table.r33").write_text(R33_LITHIUM)
    new = "roi: [[100, 430]]\n  cross_sections: [table.r33]"
    assert len(read_system(system("roi: [[100, 430]]", new)).setup.cross_sections) == 1


def test_defaults_then_the_file_then_what_is_named(system) -> None:
    usual = Recipe()
    assert recipe_of(system("training: {spectra: 3000, steps: 60, batch: 128, seed: 3}\n", "")) == usual
    found = recipe_of(system(), steps=7, rate=None, width=32)
    assert (found.spectra, found.batch, found.seed) == (3000, 128, 3)
    assert (found.steps, found.width) == (7, 32)
    assert (found.rate, found.blocks) == (usual.rate, usual.blocks)


def test_numbers_that_do_not_go_together_are_told_with_the_line(system) -> None:
    with pytest.raises(OutOfRange, match="a batch of 4000 from 3000 spectra") as told:
        recipe_of(system("batch: 128", "batch: 4000"))
    assert "line 17: training" in told.value.__notes__[0]
    with pytest.raises(OutOfRange, match="a batch of 128 from 100 spectra"):
        recipe_of(system(), spectra=100)


def test_file_recipe_and_reference_have_the_same_keys_and_defaults() -> None:
    assert set(Training.model_fields) == {k.name for k in fields(Recipe)}
    page = (ROOT / "docs" / "reference" / "rbs-system-file.md").read_text()
    table = page.partition("## Training")[2].partition("## The model")[0]
    told = {}
    for keys, values in re.findall(r"^\| (`[^|]*`) \| ([\d., ]+) \|", table, re.MULTILINE):
        told |= dict(zip(re.findall(r"`(\w+)`", keys), map(float, values.split(",")), strict=True))
    assert told == asdict(Recipe())
