"""What a person at the prompt sees."""

from __future__ import annotations

import pytest
from bluesky.magics import BlueskyMagics, get_labeled_devices
from device_fakes import WAIT_S

from sdl_bluesky.devices import make_chamber
from sdl_bluesky.errors import LabFileError, ServiceMissing, UnitError, UnknownName


def test_where_all(chamber, capsys):
    class Shell:
        user_ns = chamber.devices

    magic = BlueskyMagics.__new__(BlueskyMagics)
    magic.shell = Shell
    chamber.source("cu").power.set(42.5).wait(WAIT_S)
    chamber.source("cu").shutter.set("Open").wait(WAIT_S)
    magic.wa("")
    lines = capsys.readouterr().out.splitlines()
    (power,) = (line.split() for line in lines if line.split()[:1] == ["cu_power"])
    assert power == ["cu_power", "42.5", "0.0", "80.0", "-"]
    (shutter,) = (line.split() for line in lines if line.split()[:1] == ["cu_shutter"])
    assert shutter == ["cu_shutter", "Open", "Closed", "Open", "-"]
    assert "Error" not in "\n".join(lines)


def test_where_all_of_a_dead_machine_shows_no_old_position(chamber, capsys):
    class Shell:
        user_ns = chamber.devices

    magic = BlueskyMagics.__new__(BlueskyMagics)
    magic.shell = Shell
    chamber.liveness.start()
    chamber.liveness.beat._metadata["connected"] = False
    magic.wa("sources")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.split()[:1] in (["cu_power"], ["cu_shutter"])] == [
        "nan",
        "unknown",
    ]


def test_labels(chamber):
    labels = get_labeled_devices(user_ns=chamber.devices)
    assert {name for name, _ in labels["sources"]} == {"cu", "sn"}
    assert {name for name, _ in labels["detectors"]} == {"gauge", "wide_gauge", "qcm1", "qcm2", "qcm3"}


def test_unknown_names_say_what_there_is(chamber):
    with pytest.raises(UnknownName, match=r"'fe'.*'cu', 'sn'"):
        chamber.source("fe")
    with pytest.raises(UnknownName, match="qcm3"):
        chamber.qcm("qcm9")


def test_collections(chamber):
    names = [p.name for p in chamber.positioners]
    assert names[:4] == ["cu_power", "cu_shutter", "sn_power", "sn_shutter"]
    assert {"gas_flow", "substrate_shutter", "substrate_angle"} <= set(names)
    assert {d.name for d in chamber.readables} >= {"cu", "sn", "qcm1", "gas", "gauge", "clock"}
    assert {d.name for d in chamber.baseline} == set(chamber.devices)


def test_geometry_is_in_the_configuration(chamber):
    configuration = chamber.source("cu").read_configuration()
    assert configuration["cu_position_cm"]["value"] == [7.0, 0.0, 12.1]
    assert configuration["cu_target"]["value"] == "Cu"
    assert chamber.qcm("qcm2").read_configuration()["qcm2_f0"]["value"] == 6e6


def test_any_number_of_sources_and_qcms():
    from ophyd.sim import make_fake_device

    from sdl_bluesky.devices import ChamberSpec, QCMSpec, SourceSpec

    spec = ChamberSpec(
        sources=tuple(SourceSpec(f"s{i}", f"S{i}:", "Cu", (0.0, 0.0, 10.0), (0.0, 0.0, -1.0)) for i in range(7)),
        qcms=tuple(QCMSpec(f"q{i}", f"Q{i}:", (0.0, float(i), 0.0)) for i in range(6)),
        has_clock=False,
        wide_gauge=None,
    )
    chamber = make_chamber("Y:", spec, make=make_fake_device)
    assert len(chamber.sources) == 7
    assert "q5_frequency" in chamber.stream(["s6"]).describe_collect()["qcm"]
    assert "wide_gauge" not in chamber.devices
    reading = chamber.clock.read()["clock_time"]
    assert reading["value"] == reading["timestamp"] > 1e9
    chamber.clock.after(0.05).wait(WAIT_S)


def test_connect_checks_units_and_targets(chamber):
    chamber.connect(1.0)
    assert "cu, sn" in repr(chamber)
    chamber.source("cu").power.readback._metadata["units"] = "kW"
    chamber.gauge.pressure._metadata["units"] = "Pa"
    with pytest.raises(UnitError, match=r"(?s)cu_power.*'kW'.*'W'.*gauge_pressure.*'Pa'.*'mTorr'"):
        chamber.connect(1.0)


def test_connect_checks_targets(chamber):
    chamber.source("sn").target.sim_put("Pb")
    with pytest.raises(LabFileError, match=r"sn: the machine says 'Pb'"):
        chamber.connect(1.0)


def test_missing_pvs_are_named(chamber):
    chamber.gauge.pressure._metadata["connected"] = False
    with pytest.raises(ServiceMissing, match="gauge_pressure"):
        chamber.connect(0.05)
