"""The write-ahead log: what goes in comes out, whatever happens to the process, the disk or the line."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.data.log import DocumentLog, close_open_runs, encode, read_log
from sdl_bluesky.data.logfile import HEADER, Owner, RunIndex, is_abandoned, read_entries
from sdl_bluesky.errors import ServiceError

START = {"uid": "run-1", "time": 1.0}
DESCRIPTOR = {"uid": "d-1", "run_start": "run-1", "name": "primary", "time": 1.5, "data_keys": {}}


def event(n):
    return {"uid": f"e-{n}", "descriptor": "d-1", "seq_num": n, "time": 2.0 + n, "data": {}, "timestamps": {}}


def decode(line):
    return json.loads(line)[1]


def run_python(code, *arguments, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@given(st.floats(allow_nan=False))
def test_floats_come_back_bit_for_bit(value):
    back = decode(encode("event", {"x": value, "y": np.float64(value), "z": np.array([value])}))
    assert {struct.pack("d", v) for v in (back["x"], back["y"], back["z"][0])} == {struct.pack("d", value)}


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(value):
    assert decode(encode("event", {"x": value, "y": np.int64(value)})) == {"x": value, "y": value}


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_metadata_come_back(value):
    assert decode(encode("start", {"x": value})) == {"x": value}


def test_numpy_values_come_back_as_their_python_equals():
    doc = {
        "f4": np.float32(0.1),
        "bool": np.bool_(True),
        "u1": np.array([[1, 2], [3, 4]], np.uint8),
        "nan": np.array([math.nan, math.inf]),
    }
    back = decode(encode("event", doc))
    assert back["f4"] == float(np.float32(0.1))
    assert back["bool"] is True
    assert back["u1"] == [[1, 2], [3, 4]]
    assert math.isnan(back["nan"][0])
    assert back["nan"][1] == math.inf


def test_what_json_does_not_know_is_kept_as_text():
    back = decode(encode("start", {"path": Path("/a"), 3: "number as key", "set": {"b", "a"}, "object": 1j}))
    assert back == {"path": "/a", "3": "number as key", "set": ["a", "b"], "object": "1j"}


def test_encoding_imports_no_dask():
    code = """
        import sys, numpy as np
        from sdl_bluesky.data.log import encode
        encode("event", {"x": np.arange(3)})
        print(sorted({"dask", "tiled", "pandas"} & set(sys.modules)))
    """
    out, _ = run_python(code).communicate()
    assert out.strip() == "[]"


def test_a_document_is_on_the_disk_when_the_callback_returns(tmp_path):
    with DocumentLog(tmp_path) as log:
        log("start", START)
        assert list(read_log(tmp_path)) == [("start", START)]
        log("event_page", {"descriptor": "d-1", "seq_num": [1, 2]})
        assert [name for name, _ in read_log(log.path)] == ["start", "event_page"]
    assert log.failed is None


def test_the_header_names_this_process(tmp_path):
    with DocumentLog(tmp_path) as log:
        assert next(read_entries(log.path)).name == HEADER
        assert Owner.of(log.path) == Owner.current()
        assert str(os.getpid()) in log.path.name


def test_a_torn_last_line_is_passed_over_and_found_when_complete(tmp_path):
    path = tmp_path / "a.jsonl"
    line = encode("start", START)
    path.write_bytes(line + line[:20])
    assert [e.name for e in read_entries(path)] == ["start"]
    path.write_bytes(line + line)
    assert [e.name for e in read_entries(path, offset=len(line))] == ["start"]


def test_a_line_of_rubbish_hides_nothing_after_it(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        encode("start", START) + b'["event", {"uid\n[1]\n\xff\xfe\n' + encode("stop", {"run_start": "run-1"})
    )
    assert [name for name, _ in read_log(path)] == ["start", "stop"]
    assert [e.name for e in read_entries(path)].count("unreadable") == 3
    assert str(path) in caplog.text


def test_it_never_raises_and_says_what_is_lost(tmp_path, caplog):
    circular: dict = {}
    circular["itself"] = circular
    log = DocumentLog(tmp_path)
    log("start", circular)
    assert log.lost == 1
    assert "lost" in (log.failed or "")
    log("start", START)
    assert log.failed, "a lost document is not forgotten"
    assert [name for name, _ in read_log(tmp_path)] == ["start"]
    log.close()
    log("stop", {})
    assert "closed" in (log.failed or "")
    assert "CRITICAL" in caplog.text


def test_a_full_disk_is_survived_and_nothing_lost_when_there_is_space_again(tmp_path):
    """The limit on the size of files stands for the full disk: the same partial write, then the same refusal."""
    code = """
        import resource, sys
        from sdl_bluesky.data.log import DocumentLog
        log = DocumentLog(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        log("start", {"uid": "run-1", "time": 0.0})
        for n in range(100):
            log("event", {"descriptor": "d", "seq_num": n, "data": {"x": n}})
        print("too large" in log.failed)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        log("stop", {"run_start": "run-1"})
        print(log.failed, log.lost)
    """
    out, err = run_python(code, tmp_path).communicate()
    assert out.split("\n")[:2] == ["True", "None 0"], err
    assert "Start no further run" in err
    docs = list(read_log(tmp_path))
    assert [doc["seq_num"] for name, doc in docs if name == "event"] == list(range(100))
    assert (docs[0][0], docs[-1][0]) == ("start", "stop")


def test_the_memory_for_waiting_documents_has_an_end(tmp_path, monkeypatch):
    log = DocumentLog(tmp_path, keep_bytes=200)
    monkeypatch.setattr(os, "write", lambda fd, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for n in range(5):
        log("event", event(n))
    monkeypatch.undo()
    assert log.lost > 0
    log("event", event(9))
    assert f"{log.lost} document(s) lost" in (log.failed or "")
    kept = [doc["seq_num"] for _, doc in read_log(tmp_path)]
    assert kept == [*range(5 - log.lost), 9]


def test_a_directory_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot be written"):
        DocumentLog(tmp_path / "file")


KILLED = """
    import os, signal, sys
    from sdl_bluesky.data.log import DocumentLog
    log = DocumentLog(sys.argv[1])
    log("start", {"uid": "campaign", "time": 1.0, "purpose": "campaign"})
    log("start", {"uid": "done", "time": 2.0})
    log("stop", {"uid": "s", "run_start": "done", "time": 2.5, "exit_status": "success"})
    log("start", {"uid": "run-1", "time": 3.0})
    log("descriptor", {"uid": "d-1", "run_start": "run-1", "name": "primary", "time": 3.0, "data_keys": {}})
    log("event", {"descriptor": "d-1", "seq_num": 1, "time": 4.0})
    log("event_page", {"descriptor": "d-1", "seq_num": [2, 3], "time": [5.0, 6.0]})
    if "torn" in sys.argv:
        os.write(log._fd, b'["event", {"descr')
    print("ready", flush=True)
    if "stay" in sys.argv:
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("torn", ["whole", "torn"])
def test_open_runs_of_a_killed_process_are_closed_once(tmp_path, torn):
    process = run_python(KILLED, tmp_path, torn)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert sorted(close_open_runs(tmp_path, "the process died")) == ["campaign", "run-1"]
    assert close_open_runs(tmp_path, "again") == []
    stops = {doc["run_start"]: doc for name, doc in read_log(tmp_path) if name == "stop"}
    assert set(stops) == {"campaign", "done", "run-1"}
    assert stops["run-1"]["exit_status"] == "abort"
    assert stops["run-1"]["reason"] == "the process died"
    assert stops["run-1"]["time"] == 6.0
    assert stops["run-1"]["num_events"] == {"primary": 3}
    assert stops["campaign"]["time"] == 1.0


def test_runs_of_a_living_process_stay_open(tmp_path):
    process = run_python(KILLED, tmp_path, "stay", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    try:
        assert close_open_runs(tmp_path, "wrong") == []
    finally:
        process.communicate("")
    assert len(close_open_runs(tmp_path, "right")) == 2


def test_a_reused_pid_is_not_mistaken_for_the_owner(tmp_path):
    here = Owner.current()
    assert not here.is_dead()
    assert Owner(here.host, here.pid, (here.started or 0) - 1, here.boot).is_dead()
    assert Owner(here.host, here.pid, here.started, "another boot").is_dead()
    assert not Owner("elsewhere", here.pid, 0, "another boot").is_dead(), "of another host nothing is certain"


def test_a_held_file_is_not_abandoned_even_if_the_pid_is_not_to_be_seen(tmp_path):
    """A process in another container has another pid there, but the same lock."""
    with DocumentLog(tmp_path) as log:
        lines = log.path.read_bytes().split(b"\n", 1)
        header = Owner.current().as_header() | {"pid": 2**22 + 1}
        log.path.write_bytes(encode(HEADER, header) + lines[1])
        assert Owner.of(log.path).is_dead()
        assert not is_abandoned(log.path)
    assert is_abandoned(log.path)


def test_documents_find_their_run_where_runs_interleave():
    index = RunIndex()
    assert index.run_of("start", {"uid": "outer"}) == "outer"
    assert index.run_of("descriptor", {"uid": "d-outer", "run_start": "outer"}) == "outer"
    assert index.run_of("start", {"uid": "inner"}) == "inner"
    assert index.run_of("resource", {"uid": "r"}) == "inner"
    assert index.run_of("datum", {"resource": "r"}) == "inner"
    assert index.run_of("event", {"descriptor": "d-outer"}) == "outer"
    assert index.run_of("stop", {"run_start": "inner"}) == "inner"
    assert index.run_of("event", {"descriptor": "unknown"}) is None
    assert index.run_of("header", {}) is None
