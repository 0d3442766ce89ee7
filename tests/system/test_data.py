"""Documents of a real RunEngine on their way into a real Tiled server, through kills of every process on the way."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections import defaultdict

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pyarrow
import pytest
from _catalogue import ARRIVES_WITHIN_S, KEY, Lab
from _facility import KINDS
from bluesky import RunEngine
from ophyd import Component as Cpt
from ophyd import Device, DeviceStatus, Signal
from ophyd.sim import SynAxis, SynGauss

from sdl_bluesky.data.analysis import find_analyses, latest_analysis, read_analysis, write_analysis
from sdl_bluesky.data.campaigns import campaign_chain, decisions, stop_of
from sdl_bluesky.data.catalogue import find_run, find_runs, read_dataset, read_last, read_table
from sdl_bluesky.data.ledger import delete
from sdl_bluesky.data.log import DocumentLog, close_open_runs, read_log
from sdl_bluesky.data.profile import write_profile
from sdl_bluesky.data.replay import replay
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.errors import CatalogueError, PortInUse, ServiceError

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=KINDS)
def lab(tmp_path_factory, request):
    lab = Lab(tmp_path_factory.mktemp("lab"), request.param)
    yield lab
    lab.end()


@pytest.fixture
def engine(lab):
    """A RunEngine with the log, and a second callback that keeps the documents for comparison."""
    RE, documents = RunEngine({}, call_returns_result=False), []
    with DocumentLog(lab.log_dir) as log:
        RE.subscribe(log)
        RE.subscribe(lambda name, doc: documents.append((name, doc)))
        RE.documents = documents
        yield RE
        assert log.failed is None


class Typed(Signal):
    """A signal that says its type; a plain one calls True an integer, and knows no integers in an array."""

    def __init__(self, *, says, **kwargs):
        super().__init__(**kwargs)
        self._says = says

    def describe(self):
        return {self.name: super().describe()[self.name] | self._says}


class Meters(Device):
    """Readings of every type, some of them awkward."""

    voltage = Cpt(Signal, value=0.1)
    nothing = Cpt(Signal, value=math.nan)
    counts = Cpt(Signal, value=7)
    lit = Cpt(Typed, value=True, says={"dtype": "boolean"})
    candidates = Cpt(Signal, value='{"x": [1, 2.5]}')
    trace = Cpt(Signal, value=np.array([0.1, math.nan, -0.0]))
    image = Cpt(Typed, value=np.arange(6).reshape(2, 3), says={"dtype_numpy": "<i8"})


def bits(value):
    """Something that is equal only for equal types and equal bits."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [bits(v) for v in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("d", value)
    return (type(value).__name__, value)


def events_of(documents):
    """Per run and stream: seq_num, time and data of each event, pages unpacked."""
    runs, streams = defaultdict(lambda: defaultdict(list)), {}
    for name, doc in documents:
        if name == "start":
            runs[doc["uid"]]
        elif name == "descriptor":
            streams[doc["uid"]] = runs[doc["run_start"]][doc["name"]]
        elif name == "event":
            streams[doc["descriptor"]].append({"seq_num": doc["seq_num"], "time": doc["time"], **doc["data"]})
        elif name == "event_page":
            for i, n in enumerate(doc["seq_num"]):
                row = {key: column[i] for key, column in doc["data"].items()}
                streams[doc["descriptor"]].append({"seq_num": n, "time": doc["time"][i], **row})
    return runs


def assert_same_events(client, documents):
    """The catalogue holds every event of the documents, and no other, with equal bits; returns their number."""
    number = 0
    for uid, streams in events_of(documents).items():
        run = find_run(client, uid)
        assert set(run) == set(streams)
        for stream, rows in streams.items():
            table = read_table(run, stream)
            assert len(table) == len(rows), (uid, stream)
            arrays = read_dataset(run, stream) if rows else {}
            for key in rows[0] if rows else ():
                column = table[key].tolist() if key in table else arrays[key].values
                assert [bits(v) for v in column] == [bits(row[key]) for row in rows], (stream, key)
            number += len(rows)
    return number


def test_every_type_arrives_bit_for_bit(lab, engine):
    meters = Meters(name="m")

    def plan():
        yield from bps.open_run({"sample": "types", "sources": ["cu", "sn"], "purpose": "experiment"})
        yield from bps.declare_stream(meters, name="empty")
        for value in (0.1, 1 / 3, 5e-324, -math.inf):
            meters.voltage.put(value)
            meters.counts.put(int(abs(value)) if math.isfinite(value) else 2**62)
            meters.lit.put(value > 0.2)
            meters.trace.put(np.array([value, math.nan, -0.0]))
            yield from bps.trigger_and_read([meters])
        yield from bps.close_run()

    (uid,) = engine(plan())
    run = lab.wait(uid)
    assert assert_same_events(lab.client, engine.documents) == 4
    table = read_table(run)
    assert [str(table[key].dtype) for key in ("m_voltage", "m_counts", "m_lit")] == ["float64", "int64", "bool"]
    assert json.loads(table["m_candidates"][0]) == {"x": [1, 2.5]}
    assert read_dataset(run)["m_image"].shape == (4, 2, 3)
    assert list(read_table(run, "empty").columns[:2]) == ["seq_num", "time"]
    with pytest.raises(CatalogueError, match="no event"):
        read_dataset(run, "empty")
    with pytest.raises(CatalogueError, match="only \\['empty', 'primary'\\]"):
        read_table(run, "qcm")


def test_a_column_that_changes_its_type_is_written_anew(lab, engine):
    motor = SynAxis(name="motor")  # at rest it reports the integer 0, and "integer"
    detector = SynGauss("det", motor, "motor", center=0, Imax=1)
    (uid,) = engine(bpp.baseline_wrapper(bp.scan([detector], motor, -1, 1.5, 5), [motor]))
    run = lab.wait(uid)
    assert read_table(run, "baseline")["motor"].tolist() == [0.0, 1.5]
    assert read_table(run)["motor"].tolist() == [-1.0, -0.375, 0.25, 0.875, 1.5]
    assert len(read_table(run)) == len(events_of(engine.documents)[uid]["primary"])


class Flyer(Device):
    """Collects pages of rows, as a stream of quartz microbalances does."""

    def kickoff(self):
        self.pages = [np.random.default_rng(n).normal(6e6, 1.0, n + 1) for n in range(8)]
        return self._done()

    def complete(self):
        return self._done()

    def _done(self):
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def describe_collect(self):
        keys = {"shape": [], "dtype": "number", "source": "Q1"}
        return {f"{self.name}_{name}": keys for name in ("frequency", "life")}

    def collect_pages(self):
        for page in self.pages:
            data = {f"{self.name}_frequency": page, f"{self.name}_life": np.full(len(page), 99, np.int64)}
            yield {"data": data, "timestamps": {key: list(range(len(page))) for key in data}}


def test_pages_of_a_flyer_arrive(lab, engine):
    flyer = Flyer(name="q1")

    def plan():
        yield from bps.open_run()
        yield from bps.declare_stream(flyer, name="qcm", collect=True)
        yield from bps.kickoff(flyer, wait=True)
        yield from bps.complete(flyer, wait=True)
        yield from bps.collect(flyer, name="qcm")
        yield from bps.close_run()

    (uid,) = engine(plan())
    assert [name for name, _ in engine.documents].count("event_page") == 8
    run = lab.wait(uid)
    assert read_table(run, "qcm")["seq_num"].tolist() == list(range(1, 37))
    assert assert_same_pages(run, engine.documents) == 36
    exported = list(run.documents())
    assert [name for name, _ in exported].count("event") == 36
    assert exported[0][1]["uid"] == uid


def assert_same_pages(run, documents):
    """As numbers: the log turns the integers of a page's "number" into the floats that were declared."""
    rows = events_of(documents)[run.metadata["start"]["uid"]]["qcm"]
    table = read_table(run, "qcm")
    for key in rows[0]:
        assert [bits(float(v)) for v in table[key]] == [bits(float(row[key])) for row in rows]
    return len(rows)


def campaign_plan(resumes=None, campaign=None, fail=False):
    """A campaign that stays open around its experiments, with a decision before each."""
    outer = bpp.set_run_key_wrapper
    metadata = {"purpose": "campaign", "goal": "learn", "sample": "camp", "sources": ["ni"]}
    metadata |= {"resumes": resumes, "campaign": campaign} if resumes else {}
    decision = Meters(name="decision", read_attrs=["voltage", "candidates"])
    uid = yield from outer(bps.open_run(metadata), "campaign")
    for step in range(2):
        decision.candidates.put(json.dumps({"step": step, "based_on": [uid]}))
        yield from outer(bps.create("decision"), "campaign")
        yield from outer(bps.read(decision), "campaign")
        yield from outer(bps.save(), "campaign")
        experiment = bp.count([decision.voltage], 2, md={"sample": "camp", "campaign": campaign or uid, "step": step})
        yield from bpp.set_run_key_wrapper(experiment, "experiment")
        if fail and step == 0:
            raise RuntimeError("the door was opened")
    yield from outer(bps.close_run(), "campaign")


def test_a_campaign_stays_open_around_its_experiments(lab, engine):
    with pytest.raises(RuntimeError, match="door"):
        engine(campaign_plan(fail=True))
    first = next(doc["uid"] for name, doc in engine.documents if name == "start")
    engine(campaign_plan(resumes=first, campaign=first))
    second = next(doc["uid"] for name, doc in engine.documents if doc.get("resumes") == first)
    for uid in events_of(engine.documents):
        lab.wait(uid)
    assert_same_events(lab.client, engine.documents)
    assert set(lab.client["campaigns"]) >= {first, second}
    assert not {first, second} & set(lab.client["raw"])
    chain = campaign_chain(lab.client, first)
    assert [run.metadata["start"]["uid"] for run in chain] == [first, second]
    assert [stop_of(run)["exit_status"] for run in chain] == ["fail", "success"]
    made = decisions(lab.client, first)
    assert [d["decision_candidates"]["step"] for d in made] == [0, 0, 1]
    assert [d["run"] for d in made] == [first] + [second] * 2
    assert len(find_runs(lab.client, campaign=first)) == 3
    with pytest.raises(CatalogueError, match="no campaign"):
        campaign_chain(lab.client, "none")


def test_rows_are_to_be_seen_within_a_second(lab, engine):
    """While a run goes on, the oldest row that is not in Tiled yet is younger than a second.

    A machine that stands still for some seconds, as a loaded one may, makes rows late: that may be so at some of the
    looks, and not for long.
    """
    looks, stalled_s = 24, 8.0
    reading = Signal(name="x", value=0.5)
    late = []

    def look():
        now = time.time()
        times = [doc["time"] for name, doc in engine.documents if name == "event"]
        runs = find_runs(lab.client, sample="live").values().head(1)
        there = len(read_table(runs[0])) if runs and "primary" in set(runs[0]) else 0
        late.append(now - times[there] if there < len(times) else 0.0)

    def plan():
        yield from bps.open_run({"sample": "live"})
        for _ in range(looks):
            for _ in range(3):
                yield from bps.trigger_and_read([reading])
                yield from bps.sleep(0.05)
            look()
        yield from bps.close_run()

    (uid,) = engine(plan())
    assert sorted(late)[2 * looks // 3] < 1.0, late
    assert max(late) < 1.0 + stalled_s, late
    assert len(read_table(lab.wait(uid))) == 3 * looks


def run_elsewhere(code, *arguments, **variables):
    """Run a program in a process of its own, outside the repository."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TILED")}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean | variables, cwd="/", timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def consumed(lab):
    """Three runs to be found: by sample, by source, by time."""
    RE, uids, times = RunEngine({}, call_returns_result=False), [], []
    with DocumentLog(lab.log_dir) as log:
        RE.subscribe(log)
        for sample, sources in (("find-1", ["cu"]), ("find-2", ["cu", "sn"]), ("Cu-Ni", ["cux"])):
            times.append(time.time())
            uids += RE(bp.count([Signal(name="rate", value=1.25)], 3), sample=sample, sources=sources)
    for uid in uids:
        lab.wait(uid)
    return uids, times


def test_a_consumer_needs_nothing_but_the_tiled_client(lab, consumed):
    code = """
        import json, sys
        from tiled.client import from_uri
        from tiled.queries import Comparison, Contains, Key

        raw = from_uri(sys.argv[1], api_key=sys.argv[2])["raw"]
        since, until = map(float, sys.argv[3:])
        here = raw.search(Comparison("ge", "start.time", since))
        found = {
            "sample": list(here.search(Key("start.sample") == "Cu-Ni")),
            "source": list(here.search(Contains("start.sources", '"cu"'))),
            "time": list(here.search(Comparison("lt", "start.time", until))),
        }
        run = raw[found["sample"][0]]
        found["rate"] = run["primary"].read()["rate"].values.tolist()
        found["ours"] = [name for name in sys.modules if name.startswith("sdl_bluesky")]
        print(json.dumps(found))
    """
    uids, times = consumed
    found = run_elsewhere(code, lab.server.uri, KEY, times[0], times[2])
    assert found["sample"] == [uids[2]]
    assert sorted(found["source"]) == sorted(uids[:2])
    assert sorted(found["time"]) == sorted(uids[:2])
    assert found["rate"] == [1.25] * 3
    assert found["ours"] == []
    assert list(find_runs(lab.client, source="cu", since=times[0])) == uids[:2]
    assert list(find_runs(lab.client, source="sn", since=times[0], until=times[2])) == [uids[1]]
    assert list(find_runs(lab.client, sample="Cu-Ni", plan_name="count")) == [uids[2]]


def test_databroker_opens_the_catalogue_by_its_profile(lab, consumed, tmp_path):
    code = """
        import json
        from databroker import catalog
        raw = catalog["sdl"]
        run = raw[UID]
        print(json.dumps({"rate": run.primary.read()["rate"].values.tolist(), "names": sorted(catalog)}))
    """
    write_profile(tmp_path, lab.server.uri)
    found = run_elsewhere(code.replace("UID", repr(consumed[0][0])), TILED_PROFILES=str(tmp_path), TILED_API_KEY=KEY)
    assert found["rate"] == [1.25] * 3
    assert {"sdl", "sdl-campaigns", "sdl-analysis"} <= set(found["names"])


def composition(value):
    arrays = {
        "composition": np.full((2, 3, 4), value),
        "composition_std": np.full((2, 3, 4), 0.1),
        "element": np.array(["Cu", "Sn"]),
        "y": np.linspace(-1, 1, 3),
        "x": np.linspace(-2, 2, 4),
    }
    dims = {"composition": ("element", "y", "x"), "composition_std": ("element", "y", "x")}
    return arrays, dims | {name: (name,) for name in ("element", "y", "x")}


def test_results_replace_their_like_and_are_read_back(lab):
    metadata = {
        "units": {"x": "mm"},
        "derived_from": ["r1", "r2"],
        "method": "flux",
        "sample": "S",
        "parameters": {"n": 3},
    }
    first = write_analysis(lab.client, "composition", *composition(0.25), metadata)
    other = write_analysis(
        lab.client, "composition", *composition(0.9), metadata | {"derived_from": ["r3"], "sample": "T"}
    )
    second = write_analysis(lab.client, "composition", *composition(1 / 3), metadata)
    assert list(find_analyses(lab.client, "composition")) == [other, second]
    found = latest_analysis(lab.client, "composition", sample="S")
    assert found.key == second
    assert latest_analysis(lab.client, "composition", derived_from="r3").key == other
    assert found.arrays["composition"].tolist() == np.full((2, 3, 4), 1 / 3).tolist()
    assert found.arrays["element"].tolist() == ["Cu", "Sn"]
    assert found.dims["composition"] == ("element", "y", "x")
    assert found.to_xarray()["composition_std"].sel(element="Sn").sizes == {"y": 3, "x": 4}
    assert found.metadata["derived_from"] == ["r1", "r2"]
    assert found.metadata["schema"] == 1
    with pytest.raises(CatalogueError, match=first):
        read_analysis(lab.client, first)
    broken = lab.client["analysis"].create_container("broken", metadata={"kind": "composition", "complete": False})
    assert broken.item["id"] not in list(find_analyses(lab.client, "composition"))
    with pytest.raises(CatalogueError, match="not complete"):
        read_analysis(lab.client, "broken")
    with pytest.raises(CatalogueError, match="sample='none'"):
        latest_analysis(lab.client, "composition", sample="none")


def test_a_run_that_vanishes_while_it_is_read_is_to_be_read_again(lab, tmp_path):
    """What a writer that died has left half, the next one deletes and writes anew."""
    RE = RunEngine({}, call_returns_result=False)
    with DocumentLog(tmp_path) as log:
        RE.subscribe(log)
        (uid,) = RE(bp.count([Signal(name="x", value=0.5)], 3))
    replay(tmp_path, lab.client)
    found, known = find_run(lab.client, uid), find_run(lab.client, uid)
    assert set(known) == {"primary"}
    assert delete(lab.client["raw"], uid)
    for run in (found, known):
        for read in (read_table, read_last, read_dataset):
            with pytest.raises(CatalogueError, match=f"run {uid} is only being made: read it again"):
                read(run)
    assert replay(tmp_path, lab.client).written == (uid,)
    assert read_table(find_run(lab.client, uid))["x"].tolist() == [0.5] * 3


def test_a_replay_repairs_what_differs_and_a_second_one_changes_nothing(lab, tmp_path):
    RE = RunEngine({}, call_returns_result=False)
    with DocumentLog(tmp_path) as log:
        RE.subscribe(log)
        uids = [RE(bp.count([Signal(name="x", value=0.5)], 4))[0] for _ in range(4)]
    assert set(replay(tmp_path, lab.client).written) == set(uids)

    raw = lab.client["raw"]
    raw.delete_contents(uids[0], recursive=True, external_only=False)
    table = raw[uids[1]]["primary"].base["internal"]
    table.append_partition(0, pyarrow.Table.from_pandas(table.read().iloc[:1], preserve_index=False))
    raw[uids[2]].update_metadata({"stop": None}, drop_revision=True)
    report = replay(tmp_path, lab.client)
    assert report.written == (uids[0],)
    assert set(report.repaired) == {uids[1], uids[2]}
    assert report.skipped == (uids[3],)
    assert (report.events, report.failed) == (12, {})
    assert_same_events(lab.client, read_log(tmp_path))

    before = snapshot(raw, uids)
    again = replay(tmp_path, lab.client)
    assert (again.written, again.repaired, again.events) == ((), (), 0)
    assert set(again.skipped) == set(uids)
    assert snapshot(raw, uids) == before


def test_a_replay_does_not_get_into_the_way_of_the_writer(lab):
    wait_until_caught_up(lab.log_dir, lab.client, ARRIVES_WITHIN_S)
    with pytest.raises(ServiceError, match=f"process {lab.writer.pid} feeds"):
        replay(lab.log_dir, lab.client)


def snapshot(raw, uids):
    """Everything that a replay could change."""
    return [(raw[u].item["attributes"]["metadata"], read_table(raw[u]).to_json(), list(raw[u])) for u in uids]


EXPERIMENT = """
    import sys, threading, time
    from pathlib import Path
    import bluesky.plan_stubs as bps
    from bluesky import RunEngine
    from ophyd import Signal
    from sdl_bluesky.data.log import DocumentLog

    class Clock:
        def __init__(self):
            self.last, self.gap = time.monotonic(), 0.0
        def tick(self):
            now = time.monotonic()
            self.last, self.gap = now, max(self.gap, now - self.last)
        def __call__(self, name, doc):
            self.tick()
            print(name, flush=True)

    def beside(clock):  # what does nothing but sleep is held up by the machine alone
        while True:
            clock.tick()
            time.sleep(0.01)

    def plan():
        x = Signal(name="x", value=0.0)
        yield from bps.open_run({"sample": "killed"})
        n = 0
        while not Path(sys.argv[2]).exists():
            n += 1
            x.put(1 / n)
            yield from bps.trigger_and_read([x])
            yield from bps.sleep(0.02)
        yield from bps.close_run()

    log = DocumentLog(sys.argv[1])
    RE = RunEngine({})
    clock, machine = Clock(), Clock()
    threading.Thread(target=beside, args=(machine,), daemon=True).start()
    RE.subscribe(log)
    RE.subscribe(clock)
    RE(plan())
    print("gap", clock.gap - machine.gap, log.failed)
"""


def start_experiment(log_dir, end):
    command = [sys.executable, "-c", textwrap.dedent(EXPERIMENT), str(log_dir), str(end)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_run_engine_that_is_killed_loses_no_document(lab, tmp_path):
    process = start_experiment(lab.log_dir, tmp_path / "end")
    told = 0
    for line in process.stdout:
        told += line.strip() == "event"
        if told == 30:
            process.send_signal(signal.SIGKILL)
            break
    told += process.stdout.read().split().count("event")
    process.wait()
    path = max(lab.log_dir.glob(f"*-{process.pid}.jsonl"))
    uid = next(doc["uid"] for name, doc in read_log(path) if name == "start")
    assert close_open_runs(lab.log_dir, "the program was killed") == [uid]
    run = lab.wait(uid)
    assert assert_same_events(lab.client, read_log(path)) in (told, told + 1)
    assert stop_of(run)["exit_status"] == "abort"
    assert stop_of(run)["reason"] == "the program was killed"


def test_a_server_that_is_killed_in_mid_run_gets_everything_afterwards(lab, tmp_path):
    """The run does not notice, and nothing is lost or doubled."""
    with pytest.raises(PortInUse, match=str(lab.settings.port)):
        lab.start_server()
    process = start_experiment(lab.log_dir, tmp_path / "end")
    try:
        for _ in range(3):  # the start document, the descriptor, an event
            process.stdout.readline()
        path = max(lab.log_dir.glob(f"*-{process.pid}.jsonl"))
        uid = wait_for_rows(lab.client, path, 1)
        lab.server.process.kill()
        lab.server.process.wait()
        wait_for_events(path, 20)
        lab.server = lab.start_server()
        assert wait_for_rows(lab.client, path, 20) == uid, "it is live again"
        (tmp_path / "end").touch()
        words = process.communicate(timeout=ARRIVES_WITHIN_S)[0].splitlines()[-1].split()
    finally:
        process.kill()
    assert float(words[1]) < 1.0, "the run was held up, for longer than its process was by the machine"
    assert words[2] == "None", "the log is complete"
    assert stop_of(lab.wait(uid))["exit_status"] == "success"
    wait_until_caught_up(lab.log_dir, lab.client, ARRIVES_WITHIN_S)
    assert assert_same_events(lab.client, read_log(path)) > 40


def events_in(path):
    return sum(name == "event" for name, _ in read_log(path))


def wait_for_events(path, number):
    """Wait until so many more events are in the log than now."""
    number += events_in(path)
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while events_in(path) < number:
        assert time.monotonic() < deadline, "no events in time"
        time.sleep(0.05)


def wait_for_rows(client, path, number):
    """Wait until the run in the log has so many more rows in Tiled than now; returns its uid."""
    uid = next(doc["uid"] for name, doc in read_log(path) if name == "start")
    number += events_in(path)
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if len(read_table(find_run(client, uid))) >= number:
                return uid
        except CatalogueError:  # not there yet
            pass
        time.sleep(0.05)
    raise AssertionError("no rows in time")


def test_tiled_accepts_the_configuration_of_a_facility():
    from tiled.config import Config

    Config.model_validate(TiledSettings("postgresql+asyncpg://db/c", ("/a", "postgresql://db/t"), "redis://c").config())


def test_a_writer_that_cannot_begin_says_why(lab, tmp_path):
    def run(uri, *more):
        command = [sys.executable, "-m", "sdl_bluesky.data.writer", "--log", str(tmp_path), "--uri", uri, *more]
        env = os.environ | {"TILED_API_KEY": "wrong"}
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)

    missing = run("http://127.0.0.1:9", "--once", "--patience", "0.2")
    refused = run(lab.server.uri)
    words = missing.communicate(timeout=60)[1]
    assert missing.returncode == 1
    assert "no Tiled server answers at http://127.0.0.1:9" in words
    assert "Traceback" not in words
    words = refused.communicate(timeout=60)[1]
    assert refused.returncode == 2
    assert "TILED_API_KEY" in words
    assert "Traceback" not in words
