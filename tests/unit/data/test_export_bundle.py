"""A bundle by readers that are not ours: h5py, nexusformat with the definitions of NeXus, pandas; and read back."""

import json
import math
import resource
from contextlib import contextmanager
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from export_samples import (
    CAMPAIGN,
    COPPER,
    EARLIER,
    FILM,
    LAYER,
    RESUMED,
    TIN,
    UNIT,
    Run,
    campaign,
    result,
    write_log,
)
from nexusformat.nexus import nxload
from nexusformat.nexus.validate import validate_file

from sdl_bluesky.data.export.collect import collect_bundle
from sdl_bluesky.data.export.provenance import Edge, provenance
from sdl_bluesky.data.export.read import read_bundle
from sdl_bluesky.data.export.restore import enter_log
from sdl_bluesky.data.export.runs import result_digest
from sdl_bluesky.data.export.write import csv_folder, write_bundle
from sdl_bluesky.data.log import DocumentLog, read_log
from sdl_bluesky.errors import CampaignError, CatalogueError, DataFileError, ServiceError


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def bundle(log_dir):
    return replace(collect_bundle(log_dir, None, CAMPAIGN), results=(result(),))


@pytest.fixture(scope="module")
def file(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "campaign.h5"
    assert write_bundle(bundle, path) == [csv_folder(path), path]
    assert {entry.name for entry in path.parent.iterdir()} == {"campaign.h5", "campaign-csv"}
    return path


def lines(documents):
    return [json.dumps(one, sort_keys=True) for one in documents]


def test_all_that_a_campaign_names_belongs_to_it(bundle):
    assert {run.uid for run in bundle.runs} == {CAMPAIGN, RESUMED, COPPER, TIN, FILM, EARLIER, LAYER}
    assert [run.uid for run in bundle.campaign_runs()] == [CAMPAIGN, RESUMED]
    assert bundle.findings == ("run gone is named by a run of the bundle, but is not in the log",)


def test_documents_and_results_come_back_from_the_file(bundle, file):
    again = read_bundle(file)
    made = campaign()
    assert {run.uid: lines(run.documents) for run in again.runs} == {uid: lines(docs) for uid, docs in made.items()}
    assert (again.campaign, again.findings) == (CAMPAIGN, bundle.findings)
    [back], there = again.results, result()
    assert (back.key, back.metadata, back.dims) == (there.key, there.metadata, there.dims)
    assert {k: (a.dtype, a.tolist()) for k, a in back.arrays.items()} == {
        k: (a.dtype, a.tolist()) for k, a in there.arrays.items()
    }


def test_h5py_finds_columns_units_and_times(file):
    with h5py.File(file) as root:
        [entry] = [one for one in root.values() if one["entry_identifier"].asstr()[()] == COPPER]
        primary, qcm = entry["primary"], entry["qcm"]
        assert primary["qcm1_rate"].attrs["units"] == UNIT
        assert primary["qcm1_rate"][:].tolist() == [31.25, 31.5, 31.5]
        assert primary["cu_power"][:].tolist() == [50.0, 51.0, 51.0]
        assert primary["spectrum"].attrs["units"] == "counts"
        assert primary["spectrum"].shape == (3, 3)
        assert primary["lit"][:].tolist() == [True, False, False]
        np.testing.assert_allclose(primary["elapsed"][:] + 1001.0, primary["time"][:])
        assert qcm["qcm1_frequency"].attrs["units"] == "Hz"
        assert qcm["seq_num_2"].attrs["data_key"] == "seq_num"
        assert set(entry["baseline"]) >= {"stage_x", "stage_x_2"}
        stamps = entry["documents/primary/timestamps/qcm1_rate"]
        assert stamps.attrs["units"] == "s"
        np.testing.assert_allclose(stamps[:], primary["time"][:] - 0.01)
        documents = [json.loads(text) for text in entry["documents/plain/document"].asstr()[:]]
        assert [documents[0], documents[-1]] == [campaign()[COPPER][0][1], campaign()[COPPER][-1][1]]


def test_it_keeps_the_rules_of_nexus(file, tmp_path):
    assert validate_file(file) == (0, 0), "warnings and errors by the definitions of NeXus"
    broken = tmp_path / "broken.h5"
    broken.write_bytes(file.read_bytes())
    with h5py.File(broken, "r+") as root:
        root["campaign/decisions"].attrs["axes"] = "nothing"
    assert validate_file(broken, "campaign")[1] > 0, "the judge is awake"


def test_a_viewer_of_nexus_plots_something_sensible(file):
    root = nxload(file)
    decided = root.plottable_data
    assert decided.nxpath == "/campaign/decisions"
    assert (decided.nxsignal.nxname, decided.nxsignal.attrs["units"]) == ("outcome_rate", UNIT)
    np.testing.assert_array_equal(decided.nxsignal.nxvalue, [31.25, math.nan, math.nan])
    assert decided.nxaxes[0].nxvalue.tolist() == [1, 2, 3]
    assert decided.nxerrors.nxvalue[0] == 0.1
    assert decided.input_pressure.attrs["units"] == "mTorr"
    assert decided.input_cu.attrs["units"] == "W"
    [mapped] = [one for one in root.NXentry if one.nxname == "result_001"]
    shown = mapped.plottable_data
    assert shown.nxsignal.nxname == "composition"
    assert [axis.nxname for axis in shown.nxaxes] == ["element", "y", "x"]
    assert shown.nxaxes[1].attrs["units"] == "mm"
    assert shown.nxerrors.nxvalue.max() == 0.01
    runs = {str(one.entry_identifier): one for one in root.NXentry}
    assert runs[COPPER].plottable_data.nxname == "qcm"
    assert runs[COPPER].plottable_data.nxsignal.nxname == "qcm1_frequency"


def test_the_graph_says_what_was_derived_from_what(bundle, file):
    nodes, edges = provenance(bundle)
    first, second, third = f"{CAMPAIGN}#1", f"{RESUMED}#1", f"{RESUMED}#2"
    key = result().key
    expected = {
        (first, "part_of", CAMPAIGN),
        (second, "part_of", RESUMED),
        (third, "part_of", RESUMED),
        (second, "based_on", COPPER),
        (third, "based_on", COPPER),
        (COPPER, "outcome_of", first),
        (TIN, "outcome_of", second),
        (FILM, "outcome_of", third),
        *((uid, "part_of", CAMPAIGN) for uid in (RESUMED, COPPER, TIN, FILM)),
        (LAYER, "part_of", EARLIER),
        (RESUMED, "resumes", CAMPAIGN),
        (CAMPAIGN, "based_on", EARLIER),
        (FILM, "based_on", COPPER),
        (FILM, "based_on", "gone"),
        *((key, "derived_from", uid) for uid in (FILM, COPPER, "outside")),
    }
    assert set(edges) == {Edge(*edge) for edge in expected}
    assert len(edges) == len(expected)
    assert {node.name for node in nodes if not node.inside} == {"gone", "outside"}
    with h5py.File(file) as root:
        graph = root["campaign/provenance"]
        table = zip(*(graph[f"provenance/{k}"].asstr()[:] for k in ("source", "relation", "target")))
        assert set(table) == expected
        places = dict(zip(graph["nodes/name"].asstr()[:], graph["nodes/place"].asstr()[:]))
        assert root[places[FILM]]["entry_identifier"].asstr()[()] == FILM
        assert root[places[key]]["entry_identifier"].asstr()[()] == key


def test_pandas_reads_the_tables_and_their_units(file):
    folder = csv_folder(file)
    package = json.loads((folder / "datapackage.json").read_text())
    frames, units = {}, {}
    for one in package["resources"]:
        frame = pd.read_csv(folder / one["path"], keep_default_na=False, na_values=one["schema"]["missingValues"])
        assert list(frame.columns) == [field["name"] for field in one["schema"]["fields"]]
        kinds = {"number": "f", "integer": "iu", "boolean": "b", "string": "O"}
        for field in one["schema"]["fields"]:
            assert frame[field["name"]].dtype.kind in kinds[field["type"]], (one["name"], field)
        frames[one["name"]] = frame
        units[one["name"]] = {field["name"]: field.get("unit") for field in one["schema"]["fields"]}
    assert {path.stem for path in folder.glob("*.csv")} == set(frames)
    assert sorted(frames["runs"].run) == sorted(campaign())
    assert frames["decisions"].outcome_uid.tolist() == [COPPER, TIN, FILM]
    assert (units["decisions"]["prediction_mean"], units["decisions"]["input_power"]) == (UNIT, "W")
    copper, tin = frames["measure_rate_primary"], frames["measure_rate_primary_2"]
    assert copper.run.tolist() == [COPPER] * 3
    assert tin.sn_power.tolist() == [50.0, 51.0, 51.0]
    assert units["measure_rate_primary"]["cu_power"] == "W"
    spectrum = frames["measure_rate_primary_spectrum"]
    assert spectrum.query(f"run == '{TIN}' and seq_num == 1").value.tolist() == [1.0, 2.0, math.inf]
    assert units["measure_rate_primary_spectrum"]["value"] == "counts"
    assert len(frames["measure_rate_qcm"]) == 8, "the runs of one plan with the same columns are one table"
    cells = frames["result_001_composition_element_y_x"].set_index(["element", "y", "x"]).composition
    assert cells["Sn", 1.0, 5.0] == result().arrays["composition"][1, 2, 1]
    assert units["result_001_composition_element_y_x"]["x"] == "mm"


def test_an_unknown_campaign_and_one_that_is_not_whole(log_dir, tmp_path):
    with pytest.raises(CatalogueError, match="c-nobody is not in the document log"):
        collect_bundle(log_dir, None, "c-nobody")
    runs = campaign()
    del runs[TIN]
    with pytest.raises(CatalogueError, match=f"outcomes are not in the document log .*{TIN}"):
        collect_bundle(write_log(tmp_path / "part", runs), None, CAMPAIGN)
    runs = campaign()
    runs[COPPER].pop()
    with pytest.raises(CampaignError, match=f"run {COPPER} has no end yet"):
        collect_bundle(write_log(tmp_path / "open", runs), None, CAMPAIGN)
    run = Run(COPPER, 1.0, purpose="experiment", campaign=CAMPAIGN)
    run.add("stream_resource", {"uid": "x", "run_start": COPPER})
    with pytest.raises(DataFileError, match="data in other files"):
        collect_bundle(write_log(tmp_path / "files", campaign() | {COPPER: run.end()}), None, CAMPAIGN)


def test_a_torn_line_of_a_killed_process_is_told(tmp_path):
    write_log(tmp_path)
    [path] = tmp_path.glob("*.jsonl")
    path.write_bytes(b'["start", {"uid": "torn\n' + path.read_bytes())
    assert "a line that cannot be read" in collect_bundle(tmp_path, None, CAMPAIGN).findings[0]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_half_a_file_is_refused(file, tmp_path, part):
    half = tmp_path / "half.h5"
    half.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    with pytest.raises(DataFileError, match=r"half\.h5: is no HDF5 file, or only half of one"):
        read_bundle(half)


def test_other_files_are_refused(file, tmp_path):
    with pytest.raises(DataFileError, match="cannot be read"):
        read_bundle(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("time,power\n")
    with pytest.raises(DataFileError, match="is no HDF5 file"):
        read_bundle(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as root:
        root["data"] = [1, 2]
    with pytest.raises(DataFileError, match="no bundle that `sdl campaign export` has written"):
        read_bundle(tmp_path / "other.h5")


def _later(root):
    root["campaign/bundle"].attrs["schema"] = 2


def _value(root):
    root["run_004/qcm/qcm1_frequency"][0] += 1e-9


def _cell(root):
    root["result_001/data/composition"][0, 0, 0] = 0.5


def _column(root):
    del root["run_004/primary/qcm1_rate"]


def _run(root):
    del root["run_004"]


def _text(root):
    del root["run_004/documents/plain/document"]


def _group(root):
    del root["run_004/documents/plain"]
    root["run_004/documents/plain"] = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_later, "is of schema 2, and this version reads 1"),
        (_value, "the columns of /run_004 are not those that were exported"),
        (_cell, "the arrays of /result_001 are not those that were exported"),
        (_column, "is damaged"),
        (_run, "runs or results are missing"),
        (_text, "is damaged"),
        (_group, "is damaged"),
    ],
)
def test_a_changed_file_is_refused(file, tmp_path, change, words):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as root:
        change(root)
    with pytest.raises(DataFileError, match=words):
        read_bundle(copy)


def test_a_flipped_byte_is_an_error_of_ours_or_nothing(file, bundle, tmp_path):
    copy, content = tmp_path / "copy.h5", file.read_bytes()
    expected = [run.digest() for run in bundle.runs], result_digest(result())
    for place in np.random.default_rng(0).integers(0, len(content), 8).tolist():
        copy.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            again = read_bundle(copy)
        except DataFileError:
            continue
        assert ([run.digest() for run in again.runs], result_digest(again.results[0])) == expected, f"byte {place}"


@contextmanager
def full_disk(limit_bytes):
    """The system refuses every byte of a file beyond a limit, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit_bytes", [100, 50_000])
def test_a_full_disk_leaves_nothing_behind(bundle, tmp_path, limit_bytes):
    with full_disk(limit_bytes), pytest.raises(DataFileError, match="cannot be written"):
        write_bundle(bundle, tmp_path / "campaign.h5")
    assert list(tmp_path.iterdir()) == []
    with full_disk(100), pytest.raises(ServiceError, match="nothing was imported"):
        enter_log(bundle.runs, tmp_path / "log")
    assert list((tmp_path / "log").iterdir()) == []


def test_nothing_is_written_over(bundle, tmp_path):
    for existing in ("a.h5", "b-csv"):
        (tmp_path / existing).write_text("mine")
        with pytest.raises(DataFileError, match="is there already"):
            write_bundle(bundle, tmp_path / f"{existing[0]}.h5")
        assert (tmp_path / existing).read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "b-csv"}
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="cannot be written"):
        write_bundle(bundle, tmp_path / "file" / "a.h5")


def test_runs_enter_a_log_once_and_whole(bundle, tmp_path):
    done = enter_log(bundle.runs, tmp_path)
    assert (set(done.runs), done.runs_there) == (set(campaign()), ())
    assert sorted(lines(read_log(tmp_path))) == sorted(lines(doc for docs in campaign().values() for doc in docs))
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    done = enter_log(bundle.runs, tmp_path)
    assert (done.runs, set(done.runs_there)) == ((), set(campaign()))
    assert ([path], content) == (list(tmp_path.iterdir()), path.read_bytes())


def test_a_run_that_differs_is_refused_and_nothing_enters(bundle, tmp_path):
    with DocumentLog(tmp_path) as log:
        for name, doc in campaign()[TIN][:-1]:
            log(name, doc)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataFileError, match=f"x.h5: holds run {TIN}, .* nothing was imported"):
        enter_log(bundle.runs, tmp_path, "x.h5")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_later_bundle_has_more_is_added(bundle, tmp_path):
    enter_log([run for run in bundle.runs if run.start["time"] < 2000.0], tmp_path)
    assert set(enter_log(bundle.runs, tmp_path).runs) == {RESUMED, TIN, FILM}
