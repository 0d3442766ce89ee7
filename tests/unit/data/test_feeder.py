"""The feeder against a catalogue in memory that fails at a chosen call, before or after it has done its work."""

import itertools
from collections import defaultdict

import httpx
import pytest

from sdl_bluesky.data import feeder as module
from sdl_bluesky.data.columns import Misfit
from sdl_bluesky.data.feeder import GIVE_UP, Feeder
from sdl_bluesky.data.ledger import Ledger
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.errors import CatalogueError, ServiceMissing


class Catalogue:
    """Runs by container; `fail_at` counts the calls, `done` says whether the failing one still does its work."""

    def __init__(self):
        self.runs = {"raw": {}, "campaigns": {}}
        self.calls = 0
        self.fail_at, self.done, self.error = None, False, httpx.ConnectError("gone")

    def __getitem__(self, container):
        return self, container

    def call(self, work):
        self.calls += 1
        failing = self.calls == self.fail_at
        if failing and not self.done:
            raise self.error
        result = work()
        if failing:
            raise self.error
        return result


class Feed:
    """Stands for RunFeed: rows wait for `flush`, each put and flush of something is a call."""

    def __init__(self, container, columns):
        self.catalogue, self.container = container
        self.columns, self.rows, self.streams = columns, [], {}

    def put(self, name, doc):
        runs = self.catalogue.runs[self.container]
        if name == "start":
            self.uid = doc["uid"]
            if self.uid in runs:
                raise CatalogueError("409")
            self.catalogue.call(lambda: runs.update({self.uid: {"rows": defaultdict(list), "stop": None}}))
        elif name == "descriptor":
            self.columns.descriptor(doc)
            self.streams[doc["uid"]] = doc["name"]
            self.catalogue.call(lambda: runs[self.uid]["rows"][doc["name"]])
        elif name == "event":
            self.rows.append((self.streams[doc["descriptor"]], (doc["seq_num"], doc["time"]), self.columns.event(doc)))

    @property
    def waiting(self):
        return len(self.rows)

    def flush(self):
        run = self.catalogue.runs[self.container].get(self.uid)

        def write():
            for stream, row, _ in self.rows:
                run["rows"][stream].append(row)

        if self.rows:
            self.catalogue.call(write)
            self.rows = []

    def finish(self, stop, ledger):
        self.flush()
        run = self.catalogue.runs[self.container][self.uid]
        if dict(run["rows"]) != ledger.rows:
            raise CatalogueError("other events")
        self.catalogue.call(lambda: run.update(stop=stop["uid"]))


@pytest.fixture
def catalogue(monkeypatch):
    def find(container, uid):
        catalogue, name = container
        return catalogue.call(lambda: catalogue.runs[name].get(uid))

    def delete(container, uid):
        catalogue, name = container
        return catalogue.call(lambda: catalogue.runs[name].pop(uid, None)) is not None

    def matches(ledger, run):
        return dict(run["rows"]) == ledger.rows and run["stop"] == ledger.stop

    monkeypatch.setattr(module, "RunFeed", Feed)
    monkeypatch.setattr(module, "find", find)
    monkeypatch.setattr(module, "delete", delete)
    monkeypatch.setattr(Ledger, "matches", matches)
    return Catalogue()


def write_run(log, uid, events=3, stop=True, purpose="experiment", value=1.5):
    log("start", {"uid": uid, "time": 1.0, "purpose": purpose})
    keys = {"x": {"dtype": "number", "source": "s", "shape": []}}
    log("descriptor", {"uid": f"d-{uid}", "run_start": uid, "name": "primary", "time": 1.0, "data_keys": keys})
    for n in range(1, events + 1):
        write_event(log, uid, n, value)
    if stop:
        log("stop", {"uid": f"s-{uid}", "run_start": uid, "time": 9.0})


def write_event(log, uid, n, value=1.5):
    event = {"descriptor": f"d-{uid}", "seq_num": n, "time": float(n), "data": {"x": value}, "timestamps": {"x": 1.0}}
    log("event", event)


def pump(feeder, catalogue, steps=60):
    """Step until nothing is left to do, as the writer does."""
    for _ in range(steps):
        try:
            if not feeder.step() and feeder.settled():
                return
        except ServiceMissing:
            catalogue.fail_at = None
        for run in feeder._open_runs():
            run.retry_at = 0.0
    raise AssertionError("the feeder does not come to rest")


def expected(uid, events=3, stop=True):
    return {"rows": {"primary": [(n, float(n)) for n in range(1, events + 1)]}, "stop": f"s-{uid}" if stop else None}


def test_runs_go_where_they_belong(catalogue, tmp_path):
    with DocumentLog(tmp_path) as log:
        write_run(log, "c", stop=False, purpose="campaign")
        write_run(log, "a")
        write_event(log, "c", 4)
        write_run(log, "b", events=0)
    feeder = Feeder(tmp_path, catalogue)
    pump(feeder, catalogue)
    assert catalogue.runs == {
        "raw": {"a": expected("a"), "b": expected("b", 0)},
        "campaigns": {"c": expected("c", 4, stop=False)},
    }
    report = feeder.report()
    assert (report.written, report.skipped, report.repaired) == (("a", "b", "c"), (), ())
    assert report.events == 7
    assert "3 written" in str(report)


@pytest.mark.parametrize("done", [False, True], ids=["request lost", "answer lost"])
def test_a_server_that_dies_at_any_call_loses_and_doubles_nothing(catalogue, tmp_path, done):
    for fail_at in itertools.count(1):
        catalogue.runs, catalogue.calls = {"raw": {}, "campaigns": {}}, 0
        catalogue.fail_at, catalogue.done = fail_at, done
        folder = tmp_path / str(fail_at)
        with DocumentLog(folder) as log:
            write_run(log, "c", stop=False, purpose="campaign")
            feeder = Feeder(folder, catalogue)
            for uid in ("a", "b"):
                write_run(log, uid, stop=False)
                try:
                    feeder.step()
                except ServiceMissing:
                    catalogue.fail_at = None
                write_event(log, uid, 4)
                log("stop", {"uid": f"s-{uid}", "run_start": uid, "time": 9.0})
            log("stop", {"uid": "s-c", "run_start": "c", "time": 9.0})
            pump(feeder, catalogue)
        assert catalogue.runs["raw"] == {"a": expected("a", 4), "b": expected("b", 4)}, fail_at
        assert catalogue.runs["campaigns"] == {"c": expected("c")}, fail_at
        if catalogue.calls < fail_at:
            break
    assert fail_at > 15


def test_a_second_pass_changes_nothing(catalogue, tmp_path):
    with DocumentLog(tmp_path) as log:
        write_run(log, "a")
        write_run(log, "open", stop=False)
    pump(Feeder(tmp_path, catalogue), catalogue)
    second = Feeder(tmp_path, catalogue)
    pump(second, catalogue)
    report = second.report()
    assert (report.written, report.skipped, report.repaired) == ((), ("a", "open"), ())
    assert report.events == 0


@pytest.mark.parametrize("harm", ["lost row", "doubled row", "no stop", "gone"])
def test_what_differs_is_repaired(catalogue, tmp_path, harm):
    with DocumentLog(tmp_path) as log:
        write_run(log, "a")
        write_run(log, "b")
    pump(Feeder(tmp_path, catalogue), catalogue)
    rows = catalogue.runs["raw"]["a"]["rows"]["primary"]
    if harm == "lost row":
        rows.pop()
    elif harm == "doubled row":
        rows.append(rows[0])
    elif harm == "no stop":
        catalogue.runs["raw"]["a"]["stop"] = None
    else:
        del catalogue.runs["raw"]["a"]
    feeder = Feeder(tmp_path, catalogue)
    pump(feeder, catalogue)
    assert catalogue.runs["raw"] == {"a": expected("a"), "b": expected("b")}
    report = feeder.report()
    assert report.skipped == ("b",)
    assert (report.written, report.repaired) == ((("a",), ()) if harm == "gone" else ((), ("a",)))


def test_a_writer_that_restarts_goes_on_with_an_open_run(catalogue, tmp_path):
    with DocumentLog(tmp_path) as log:
        write_run(log, "a", stop=False)
        first = Feeder(tmp_path, catalogue)
        pump(first, catalogue)
        write_event(log, "a", 4)
        second = Feeder(tmp_path, catalogue, first.progress())
        pump(second, catalogue)
        assert catalogue.runs["raw"]["a"] == expected("a", 4, stop=False)
        write_event(log, "a", 5)
        log("stop", {"uid": "s-a", "run_start": "a", "time": 9.0})
        pump(second, catalogue)
    assert catalogue.runs["raw"]["a"] == expected("a", 5)


def test_progress_spares_what_was_complete(catalogue, tmp_path):
    with DocumentLog(tmp_path) as log:
        write_run(log, "a")
        write_run(log, "c", stop=False, purpose="campaign")
        write_run(log, "b")
        first = Feeder(tmp_path, catalogue)
        pump(first, catalogue)
        before = catalogue.calls
        second = Feeder(tmp_path, catalogue, first.progress())
        pump(second, catalogue)
        assert catalogue.calls == before + 2, "only the open campaign is looked up, and compared"
        assert first.progress()[log.path.name]["read"] == log.path.stat().st_size


def test_a_run_that_is_refused_holds_up_no_other(catalogue, tmp_path, monkeypatch):
    put = Feed.put

    def refuse(feed, name, doc):
        if name == "descriptor" and feed.uid == "bad":
            raise ValueError("no such dtype")
        put(feed, name, doc)

    monkeypatch.setattr(Feed, "put", refuse)
    with DocumentLog(tmp_path) as log:
        write_run(log, "bad")
        write_run(log, "good")
    feeder = Feeder(tmp_path, catalogue)
    pump(feeder, catalogue)
    report = feeder.report()
    assert catalogue.runs["raw"]["good"] == expected("good")
    assert report.written == ("good",)
    assert report.failed == {"bad": "ValueError: no such dtype"}
    assert feeder._open_runs()[0].attempts >= GIVE_UP
    assert "bad" in str(report)


def test_a_misfit_is_written_anew_with_the_wider_type(catalogue, tmp_path):
    with DocumentLog(tmp_path) as log:
        write_run(log, "a", stop=False)
        feeder = Feeder(tmp_path, catalogue)
        pump(feeder, catalogue)
        write_event(log, "a", 4, value="a text in a column of numbers")
        pump(feeder, catalogue)
    assert catalogue.runs["raw"]["a"] == expected("a", 4, stop=False)
    assert feeder.failures() == {}
    assert issubclass(Misfit, Exception)


def test_a_torn_line_waits_for_its_end(catalogue, tmp_path):
    log = DocumentLog(tmp_path)
    write_run(log, "a", events=0, stop=False)
    feeder = Feeder(tmp_path, catalogue)
    line = b'["stop", {"uid": "s-a", "run_start": "a", "time": 9.0}]\n'
    with log.path.open("ab") as file:
        file.write(line[:10])
        file.flush()
        pump(feeder, catalogue)
        assert catalogue.runs["raw"]["a"]["stop"] is None
        file.write(line[10:])
    pump(feeder, catalogue)
    assert catalogue.runs["raw"]["a"] == expected("a", 0)


def test_a_log_that_is_taken_away_is_no_fault(catalogue, tmp_path):
    with DocumentLog(tmp_path) as log:
        write_run(log, "a", stop=False)
        feeder = Feeder(tmp_path, catalogue)
        pump(feeder, catalogue)
    log.path.unlink()
    pump(feeder, catalogue)
    assert feeder.progress() == {}
