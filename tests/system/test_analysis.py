"""Runs of a real RunEngine, through the log and a real Tiled server, to results and a report.

The chamber is a forward model of the tests' own (ring sources, `tests/unit/analysis/ring_lab.py`), played as documents.
"""

import base64
import importlib.util
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine

from sdl_bluesky.analysis.doors import AnalysisCallback
from sdl_bluesky.analysis.jobs import analyse_run, calibrated_by
from sdl_bluesky.data.analysis import find_analyses, latest_analysis, read_analysis, write_analysis
from sdl_bluesky.data.catalogue import connect, find_run, read_table
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.data.server import TiledServer
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.data.status import wait_until_written
from sdl_bluesky.data.writer import start_writer
from sdl_bluesky.demo.report import write_report
from sdl_bluesky.errors import CatalogueError, WeakSignal

pytestmark = pytest.mark.system

KEY = "0123456789abcdef"
WITHIN_S = 120.0
_spec = importlib.util.spec_from_file_location(
    "ring_lab_system", Path(__file__).parents[1] / "unit" / "analysis" / "ring_lab.py"
)
ring_lab = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = ring_lab
_spec.loader.exec_module(ring_lab)

QCMS = ("qcm1", "qcm2", "qcm3")
TOOLING = np.array([1.008, 0.994, 1.003])
SENSITIVITY = 12.269  # ng cm^-2 Hz^-1 at 6 MHz
SOURCES = {
    "cu": ring_lab.RingSource(0.0, 1.6, 0.04, 90.0, best=8.0, n0=1.5),
    "sn": ring_lab.RingSource(90.0, 1.6, 0.04, 140.0, best=11.0, n0=1.9, exponent=0.95),
}
ELEMENTS = {"cu": "Cu", "sn": "Sn"}
FILM = {"cu": 55.0, "sn": 40.0}
FILM_PRESSURE = 7.0
POINTS = [(10, 4), (10, 20), (100, 4), (100, 20), (55, 12), (40, 6), (70, 8)]


def geometry():
    sources = {
        name: dict(zip(("position_cm", "axis"), (list(map(float, v)) for v in ring_lab.place(source.azimuth))))
        for name, source in SOURCES.items()
    }
    sensors = zip(QCMS, ring_lab.SENSORS)
    return {
        "sources": {name: {"element": ELEMENTS[name], **v} for name, v in sources.items()},
        "sensors": {
            k: {"position_cm": list(map(float, p)), "normal": [0.0, 0.0, 1.0], "f0_Hz": 6e6} for k, p in sensors
        },
        "tooling_std": 0.01,
        "map": {"x_mm": [-25, 25, 11], "y_mm": [-25, 25, 11]},
        "ranges": {"power_W": [10, 100], "pressure_mTorr": [2, 20]},
    }


class Columns:
    """Something readable with the columns that it is given."""

    parent = None

    def __init__(self, name, values):
        self.name, self.values = name, values

    def __eq__(self, other):  # every event of a stream must come from one object
        return isinstance(other, Columns) and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def read(self):
        return {k: {"value": v, "timestamp": 0.0} for k, v in self.values.items()}

    def describe(self):
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
        return {k: {"source": "test", "dtype": kinds[type(v)], "shape": []} for k, v in self.values.items()}


def event(stream, values):
    yield from bps.create(stream)
    yield from bps.read(Columns(stream, values))
    yield from bps.save()


def experiment(plan_name, powers, pressure, rng, end=None, **metadata):
    """A run as the plans make it: raw frequencies of a minute, and the primary event with what they were reduced to."""
    true = sum(SOURCES[k].flux(p, pressure, ring_lab.SENSORS) for k, p in powers.items()) * TOOLING
    true = true * (1 + 0.01 * rng.standard_normal(3))
    start = {"plan_name": plan_name, "purpose": "experiment", "sources": list(powers), **metadata}

    def inside():
        uid = yield from bps.open_run(start)
        time = np.arange(0.0, 90.0, 5.0)
        for t in time:
            opened = t >= 30
            frequency = 6e6 - true / SENSITIVITY * max(t - 30.0, 0.0) + 0.005 * rng.standard_normal(3)
            row = {"clock_time": float(t), **{f"{k}_shutter": int(opened) for k in powers}}
            yield from event("qcm", row | {f"{k}_frequency": float(f) for k, f in zip(QCMS, frequency)})
        if end is not None:
            raise end
        result = {f"{k}_power": float(p) for k, p in powers.items()} | {"gauge_pressure": float(pressure)}
        result |= {f"{k}_rate": float(v) for k, v in zip(QCMS, true)}
        result |= {f"{k}_rate_std": float(0.003 * v) for k, v in zip(QCMS, true)}
        result |= {"zero_from_s": 0.0, "zero_to_s": 25.0, "window_from_s": 35.0, "window_to_s": 90.0}
        if plan_name == "cosputter":
            result["substrate_number"] = 3
        yield from event("primary", result)
        yield from bps.close_run()
        return uid

    return (yield from bpp.set_run_key_wrapper(inside(), "experiment"))


def decision(step, stage, outcome, uid, inputs, row):
    values = {"step": step, "stage": stage, "agent": "balm", "outcome": outcome, "outcome_uid": uid}
    values |= {"inputs": json.dumps(inputs), "outcome_row": json.dumps(row)}
    return values | {"prediction_mean": 60.0, "prediction_std": 20.0 / step}


def campaign(RE, uids):
    """Learn two sources (one point fails) and make a film; `uids` gets what was run."""
    rng = np.random.default_rng(5)

    def outer(plan):
        return bpp.set_run_key_wrapper(plan, "campaign")

    start = {"plan_name": "run_campaign", "purpose": "campaign", "campaign_name": "Cu <-> Sn", "goal": "a map"}
    own = yield from outer(bps.open_run({**start, "sample": "film-7", "sources": list(SOURCES)}))
    uids["campaign"], step = own, 0
    md = {"sample": "film-7", "campaign": own}
    for name in SOURCES:
        uids[name] = []
        for power, pressure in POINTS:
            step += 1
            more = {"stage": f"learn:{name}", "step": step, **md}
            uid = yield from experiment("measure_rate", {name: float(power)}, pressure, rng, **more)
            uids[name].append(uid)
            point = {"power": power, "pressure": pressure}
            values = decision(step, f"learn:{name}", "success", uid, point, {**point, "rate": 50.0})
            yield from outer(event("decision", values))
        step += 1
        values = decision(step, f"learn:{name}", "failed", "", {"power": 15.0, "pressure": 2.2}, None)
        yield from outer(event("decision", values))
    based_on = {name: uids[name] for name in SOURCES}
    uids["film"] = yield from experiment(
        "cosputter", FILM, FILM_PRESSURE, rng, based_on=based_on, stage="deposit", **md
    )
    yield from outer(event("decision", decision(step + 1, "deposit", "success", uids["film"], FILM, {})))
    yield from outer(bps.close_run())


class Lab:
    """A folder with a log, a server, a writer between them, a RunEngine, and the analysis behind it."""

    def __init__(self, folder):
        self.folder, self.log_dir = folder, folder / "log"
        self.server = TiledServer.start(TiledSettings.local(folder / "tiled"), folder / "tiled", KEY)
        self.writer = start_writer(self.log_dir, self.server.uri, KEY, folder / "writer.log")
        self.client = connect(self.server.uri, KEY)
        self.log = DocumentLog(self.log_dir)
        self.analysis = AnalysisCallback(lambda: connect(self.server.uri, KEY), self.log_dir)
        self.RE = RunEngine({"geometry": geometry(), "schema": 1}, call_returns_result=False)
        self.RE.subscribe(self.log)
        self.RE.subscribe(self.analysis)

    def close(self):
        self.analysis.close(WITHIN_S)
        self.log.close()
        self.writer.terminate()
        self.writer.wait(60)
        self.server.stop()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("analysis"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def done(lab):
    uids = {}
    lab.RE(campaign(lab.RE, uids))
    assert lab.analysis.wait(240)
    return uids


def test_the_callback_has_analysed_every_run(lab, done):
    assert lab.analysis.findings == []
    keys = lab.analysis.keys
    assert set(keys) == {done["campaign"], done["film"], *done["cu"], *done["sn"]}
    assert all(len(keys[uid]) == 1 for uid in (*done["cu"], *done["sn"]))
    assert len(keys[done["film"]]) == 3
    assert keys[done["campaign"]] == keys[done["film"]][:2]  # the surfaces were there already
    assert {k: len(find_analyses(lab.client, k)) for k in ("flux", "rate_surface", "composition")} == {
        "flux": 14,
        "rate_surface": 2,
        "composition": 1,
    }


def test_the_map_has_axes_units_errors_and_a_past(lab, done):
    found = latest_analysis(lab.client, "composition", campaign=done["campaign"])
    meta = found.metadata
    assert meta["elements"] == ["Cu", "Sn"]
    assert meta["derived_from"] == [done["film"], *done["cu"], *done["sn"]]
    assert meta["units"] == {
        "composition": "atomic fraction",
        "composition_std": "atomic fraction",
        "x": "mm",
        "y": "mm",
    }
    assert (meta["sample"], meta["run"], meta["schema"], meta["substrate_number"]) == ("film-7", done["film"], 1, 3)
    assert meta["parameters"]["tooling_std"] == 0.01
    assert set(meta["software"]) == {"sdl_bluesky", "numpy", "scipy"}
    assert meta["findings"] == []
    assert found.dims["composition"] == ("element", "y", "x")
    np.testing.assert_allclose(found.arrays["x"], np.linspace(-25, 25, 11))
    value, std = found.arrays["composition"], found.arrays["composition_std"]
    np.testing.assert_allclose(value.sum(axis=0), 1.0)
    flux = [SOURCES[k].flux(p, FILM_PRESSURE, ring_lab.WAFER) for k, p in FILM.items()]
    error = value.reshape(2, -1) - ring_lab.fractions(flux, ("Cu", "Sn"))
    assert 100 * np.sqrt(np.mean(error**2)) < 2.0
    assert np.mean(np.abs(error) < 1.645 * std.reshape(2, -1)) > 0.5
    assert np.all(std > 0.001)


def test_the_surfaces_are_those_of_the_sources(lab, done):
    for name, source in SOURCES.items():
        found = latest_analysis(lab.client, "rate_surface", campaign=done["campaign"], source=name)
        assert found.metadata["derived_from"] == done[name]
        assert found.metadata["sensors"] == list(QCMS)
        power, pressure = found.arrays["power"], found.arrays["pressure"]
        assert (power[0], power[-1], pressure[0], pressure[-1]) == (10.0, 100.0, 2.0, 20.0)
        lit = pressure >= 4
        truth = np.array([[source.flux(p, q, ring_lab.SENSORS)[0] for p in power] for q in pressure[lit]])
        error = found.arrays["rate"][0][lit] - truth
        assert np.sqrt(np.mean(error**2)) < 0.06 * truth.mean()
        assert np.all(found.arrays["rate_std"] > 0)


def test_the_rates_of_a_run_are_found_again_in_its_raw_rows(lab, done):
    uid = done["cu"][2]
    found = latest_analysis(lab.client, "flux", run=uid)
    row = read_table(find_run(lab.client, uid), "primary").iloc[0]
    np.testing.assert_allclose(found.arrays["rate"], [row[f"{k}_rate"] for k in QCMS], rtol=0.01)
    assert found.arrays["sensor"].tolist() == list(QCMS)
    ln_strength, n = found.arrays["strength"]
    assert 9 < ln_strength < 16
    assert abs(n - 2) < 5 * np.sqrt(found.arrays["covariance"][1, 1])
    assert found.metadata["setting"] == {"power_W": 100.0, "pressure_mTorr": 4.0}
    assert found.metadata["window"] == {"zero": [0.0, 25.0], "measured": [35.0, 90.0]}


def test_a_second_analysis_on_another_machine_changes_nothing(lab, done):
    before = sorted(lab.client["analysis"])
    code = """
        import json, sys
        from sdl_bluesky.analysis.jobs import analyse_run, calibrated_by
        from sdl_bluesky.data.catalogue import connect
        client = connect(sys.argv[1], sys.argv[2])
        print(json.dumps([analyse_run(client, uid) for uid in sys.argv[3:]]))
    """
    order = [done["cu"][0], done["film"], done["campaign"]]
    arguments = [sys.executable, "-c", textwrap.dedent(code), lab.server.uri, KEY, *order]
    out = subprocess.run(arguments, capture_output=True, text=True, timeout=120, cwd=lab.folder)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout.splitlines()[-1]) == [lab.analysis.keys[uid] for uid in order]
    assert sorted(lab.client["analysis"]) == before


def run_one(lab, plan):
    uids = []
    token = lab.RE.subscribe(lambda name, doc: uids.append(doc["uid"]), "start")
    try:
        lab.RE(plan)
    finally:
        lab.RE.unsubscribe(token)
        wait_until_written(lab.log_dir, lab.client, uids[0], WITHIN_S)
    return uids[0]


def test_what_cannot_be_analysed_is_a_typed_error(lab, done):
    rng = np.random.default_rng(0)
    before = len(lab.client["analysis"])
    with pytest.raises(CatalogueError, match="no run nowhere"):
        analyse_run(lab.client, "nowhere")
    uid = run_one(lab, experiment("cosputter", FILM, 7.0, rng, sample="x"))
    with pytest.raises(CatalogueError, match="cu, sn were learned from"):
        analyse_run(lab.client, uid)
    wrong = {"cu": done["sn"][:3], "sn": done["sn"]}
    uid = run_one(lab, experiment("cosputter", FILM, 7.0, rng, sample="x", based_on=wrong))
    with pytest.raises(CatalogueError, match=r"measured sn, not cu alone"):
        analyse_run(lab.client, uid)
    few = {"cu": done["cu"][:2], "sn": done["sn"]}
    uid = run_one(lab, experiment("cosputter", FILM, 7.0, rng, sample="x", based_on=few))
    with pytest.raises(WeakSignal, match="2 of 2 runs"):
        analyse_run(lab.client, uid)
    uid = run_one(lab, experiment("count", {"cu": 50.0}, 7.0, rng))
    assert analyse_run(lab.client, uid) == []
    assert lab.analysis.wait(WITHIN_S)
    assert len(lab.client["analysis"]) == before
    assert [type(k.error) for k in lab.analysis.findings] == [CatalogueError, CatalogueError, WeakSignal]


def test_a_broken_run_is_not_analysed(lab, done):
    starts = []
    token = lab.RE.subscribe(lambda name, doc: starts.append(doc["uid"]), "start")
    with pytest.raises(RuntimeError, match="door"):
        lab.RE(experiment("measure_rate", {"cu": 50.0}, 7.0, np.random.default_rng(0), end=RuntimeError("door")))
    lab.RE.unsubscribe(token)
    wait_until_written(lab.log_dir, lab.client, starts[0], WITHIN_S)
    assert lab.analysis.wait(WITHIN_S)
    with pytest.raises(CatalogueError, match="ended with 'fail'"):
        analyse_run(lab.client, starts[0])
    assert starts[0] not in lab.analysis.keys


def test_the_report_needs_nothing_but_itself(lab, done, tmp_path):
    summary = {
        "seed": 4,
        "sources": {"cu": {"experiments": 7, "e_rms_percent": 2.34}, "sn": {"experiments": 7, "e_rms_percent": None}},
        "composition": {"rms_percent": 0.91, "centre_error": 0.0042, "coverage_90": 0.97},
    }
    path = write_report(tmp_path / "new" / "report.html", summary, lab.client, done["campaign"])
    text = path.read_text()
    assert "Cu &lt;-&gt; Sn" in text  # escaped
    for wanted in ("2.34", "0.91", "0.0042", "0.97", "could not be measured", done["film"], *done["cu"], *done["sn"]):
        assert wanted in text, wanted
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert len(pictures) == 4
    for k, picture in enumerate(pictures):
        data = base64.b64decode(picture)
        assert data.startswith(b"\x89PNG")
        (tmp_path / f"{k}.png").write_bytes(data)
    assert read_analysis(lab.client, lab.analysis.keys[done["film"]][2]).key in text


def test_a_report_names_what_is_missing(lab, done, tmp_path):
    def empty():
        yield from bps.open_run({"plan_name": "run_campaign", "purpose": "campaign", "sample": "none"})
        values = decision(1, "learn:cu", "failed", "", {"power": 15.0, "pressure": 2.2}, None)
        yield from event("decision", values)
        yield from bps.close_run()

    uid = run_one(lab, empty())
    assert analyse_run(lab.client, uid) == []
    text = write_report(tmp_path / "r.html", {}, lab.client, uid).read_text()
    assert text.count("Not in the catalogue") == 3
    with pytest.raises(CatalogueError, match="no campaign"):
        write_report(tmp_path / "r.html", {}, lab.client, "nothing")


def test_measured_points_calibrate_the_chamber_and_map_the_film_again(lab, done):
    """Tin that sticks to 0.7: seen by nobody before, named after, and the map that is written again is right."""
    film, first = done["film"], latest_analysis(lab.client, "composition", run=done["film"])
    place = np.array([[0, 0], [20, 20], [-20, 20], [-20, -20], [20, -20]], dtype=float)

    def true(points_mm):
        where = np.column_stack([points_mm / 10.0, np.zeros(len(points_mm))])
        flux = {k: SOURCES[k].flux(p, FILM_PRESSURE, where) for k, p in FILM.items()}
        return ring_lab.fractions([flux["cu"], 0.7 * flux["sn"]], ("Cu", "Sn"))

    fraction = true(place).T
    cov = np.kron(np.eye(5), 0.003**2 * np.array([[1.0, -1.0], [-1.0, 1.0]]))
    arrays = {"x": place[:, 0], "y": place[:, 1], "fraction": fraction, "density": fraction, "accepted": np.ones(5)}
    arrays |= {"fraction_joint_cov": cov, "density_joint_cov": cov}
    dims = {"x": ["point"], "y": ["point"], "accepted": ["point"]}
    dims |= {k: ["point", "element"] for k in ("fraction", "density")}
    dims |= {k: ["row", "row_2"] for k in ("fraction_joint_cov", "density_joint_cov")}
    about = {
        "units": {},
        "derived_from": ["spectra", film],
        "method": "test",
        "based_on": film,
        "elements": ["Cu", "Sn"],
    }
    rbs = write_analysis(lab.client, "rbs", arrays, dims, about)
    keys = calibrated_by(lab.client, rbs, film)
    kinds = [read_analysis(lab.client, k).metadata["kind"] for k in keys]
    assert kinds == ["calibration", "rate_surface", "rate_surface", "composition"]
    known, again = read_analysis(lab.client, keys[0]), read_analysis(lab.client, keys[-1])
    assert known.metadata["poor_sticking"] == ["sn"]
    assert set(known.metadata["derived_from"]) == {film, "spectra", *done["cu"], *done["sn"]}
    sticking = dict(zip(known.arrays["name"].tolist(), known.arrays["mean"]))["ln_sticking:sn"]
    assert abs(np.exp(sticking) - 0.7) < 0.05
    x, y = np.meshgrid(again.arrays["x"], again.arrays["y"])
    real = true(np.column_stack([x.ravel(), y.ravel()])).reshape(again.arrays["composition"].shape)

    def rms(found):
        return 100 * np.sqrt(np.mean((found.arrays["composition"] - real) ** 2))

    assert rms(first) > 5.0 > 1.0 > rms(again)
    assert again.metadata["calibration"] == keys[0]
    assert "spectra" in again.metadata["derived_from"]
    assert calibrated_by(lab.client, rbs, film) == keys  # nothing is made twice
    assert analyse_run(lab.client, film) == keys[1:]
    lab.client["analysis"].delete_contents([rbs, keys[0], keys[-1]], recursive=True, external_only=False)
