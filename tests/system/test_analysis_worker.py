"""`sdl analyse` on a real Tiled server with recorded spectra: killed, beside itself, live, while a server is away."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from _catalogue import KEY, Lab
from _lab import lab_data
from _terminal import SDL
from _twin import wait_until
from event_model import compose_run
from tiled.queries import Eq

from sdl_bluesky.analysis import store
from sdl_bluesky.analysis.store import Result, put
from sdl_bluesky.analysis.worker import Worker
from sdl_bluesky.data.analysis import find_analyses, read_analysis, write_analysis
from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.log import DocumentLog

pytestmark = pytest.mark.system

_spec = importlib.util.spec_from_file_location(
    "rbs_lab_system", Path(__file__).parents[1] / "unit" / "analysis" / "rbs" / "rbs_lab.py"
)
assert _spec is not None
assert _spec.loader is not None
rbs_lab = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(rbs_lab)

RUNS = 3
WITHIN_S = 120.0


def record(lab: Lab, log: DocumentLog, seed: int, empty: bool = False) -> str:
    """A run of one spectrum, as `measure_rbs` makes it, in the log and then in the catalogue."""
    rng = np.random.default_rng(seed)
    rows = rbs_lab.columns([{"Cu": rng.uniform(100, 300), "Sn": rng.uniform(100, 300)}], rng)
    if empty:
        rows["spectrum"][:] = 0.0
    start = {k: v for k, v in rbs_lab.start_document(("Cu", "Sn")).items() if k not in ("uid", "campaign")}
    run = compose_run(metadata=start)
    keys: dict[str, Any] = {k: {"source": "test", "dtype": "number", "shape": []} for k in rows}
    keys["spectrum"] = {"source": "test", "dtype": "array", "shape": [rows["spectrum"].shape[1]]}
    keys["spectrum"]["dtype_numpy"] = "<f8"
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    log("start", dict(run.start_doc))
    log("descriptor", dict(stream.descriptor_doc))
    for i in range(len(rows["x"])):
        data = {k: v[i].tolist() for k, v in rows.items()}
        log("event", dict(stream.compose_event(data=data, timestamps=dict.fromkeys(data, time.time()))))
    log("stop", dict(run.compose_stop()))
    return str(run.start_doc["uid"])


class Analysis:
    """An `sdl analyse` of its own, with what it says in a file."""

    def __init__(self, home: Path, *words: str) -> None:
        self.output = home / f"analyse-{time.monotonic_ns()}.txt"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_", "TILED_", "SDL_"))}
        env |= {"SDL_HOME": str(home), "TILED_API_KEY": KEY, "PYTHONUNBUFFERED": "1"}
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [*SDL, "analyse", *words], env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def expect(self, text: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None or text in self.text, self.text
            return text in self.text

        wait_until(there, WITHIN_S, f"{text!r} in {self.text}")

    def end(self, status: int) -> str:
        assert self.process.wait(WITHIN_S) == status, self.text
        return self.text

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("worker"), "sqlite")
    data = lab_data("auto")
    data["catalogue"] = {**(data.get("catalogue") or {}), "uri": made.server.uri}
    (made.folder / "lab.yml").write_text(yaml.safe_dump(data, sort_keys=False))
    yield made
    made.end()


@pytest.fixture(scope="module")
def log(lab: Lab) -> Iterator[DocumentLog]:
    with DocumentLog(lab.log_dir) as made:
        yield made


@pytest.fixture
def analyse(lab: Lab) -> Iterator[Any]:
    running: list[Analysis] = []

    def started(*words: str) -> Analysis:
        running.append(Analysis(lab.folder, *words))
        return running[-1]

    yield started
    for one in running:
        one.close()


def results(lab: Lab) -> dict[str, list[Any]]:
    """Everything that stands in `analysis`, by the run."""
    found: dict[str, list[Any]] = {}
    for node in lab.client["analysis"].values():
        found.setdefault(str(node.metadata.get("run", "")), []).append(node)
    return found


def half_written(lab: Lab) -> bool:
    return bool(len(lab.client["analysis"].search(Eq("complete", False))))


def kill_while_it_writes(lab: Lab, one: Analysis) -> None:
    """Stop it at a moment at which a result has begun and is not complete, look again, and kill it.

    What it had asked of the server before it was stopped may still be done; the second look comes after that.
    """
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        assert one.process.poll() is None, one.text
        if half_written(lab):
            one.process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            if half_written(lab):
                one.process.kill()
                one.process.wait()
                return
            one.process.send_signal(signal.SIGCONT)
    raise AssertionError(f"no result was seen while it was written: {one.text}")


def test_killed_while_it_writes_and_started_twice_leaves_one_result_of_each_run(
    lab: Lab, log: DocumentLog, analyse: Any
) -> None:
    uids = [record(lab, log, seed) for seed in range(RUNS)]
    for uid in uids:
        lab.wait(uid)
    first = analyse("--kinds", "rbs")
    first.expect(uids[0])
    kill_while_it_writes(lab, first)
    assert half_written(lab)
    done = {str(k) for k in find_analyses(lab.client, "rbs")}
    assert len(done) < RUNS
    second, told = analyse("--kinds", "rbs"), list[str]()
    second.expect(uids[0])
    beside = Worker(lambda: lab.client, kinds=("rbs",), tell=lambda outcome: told.append(outcome.run.uid))
    assert beside.once()  # both at once
    text = second.end(0)
    assert "failed" not in text
    for lines in (told, [line[:36] for line in text.splitlines()]):
        known = [uid for uid in lines if uid in uids]
        assert known == [uid for uid in uids if uid in known], "in the order of their ends"
    found = results(lab)
    assert set(found) == set(uids)
    for uid, nodes in found.items():
        assert len(nodes) == 1, (uid, [(n.item["id"], n.metadata["complete"]) for n in nodes])
        assert nodes[0].metadata["complete"]
        arrays = read_analysis(lab.client, nodes[0].item["id"]).arrays
        assert {"density", "fraction", "spectrum", "fit", "density_joint_cov"} <= set(arrays)
        assert arrays["accepted"].tolist() == [1.0]
    assert done <= set(lab.client["analysis"]), "what was complete was not made again"
    again = Worker(lambda: lab.client, kinds=("rbs",), again=True)
    assert again.once()
    assert again.done == RUNS
    assert {nodes[0].item["id"] for nodes in found.values()} == set(lab.client["analysis"])


def test_runs_are_analysed_as_they_come_and_a_server_may_go_away(lab: Lab, log: DocumentLog, analyse: Any) -> None:
    worker = analyse("--follow", "--kinds", "rbs", "--since", time.strftime("%Y-%m-%dT%H:%M:%S"))
    worker.expect(record(lab, log, 21))
    lab.server.stop()
    worker.expect("waiting for it")
    uid = record(lab, log, 22)
    lab.server = lab.start_server()
    lab.client = connect(lab.server.uri, KEY)
    worker.expect(uid)
    assert [n.metadata["complete"] for n in results(lab)[uid]] == [True]
    worker.process.send_signal(signal.SIGINT)
    assert "2 run(s) analysed" in worker.end(0)


def test_a_failure_is_told_and_the_others_are_done(lab: Lab, log: DocumentLog, analyse: Any) -> None:
    bad, good = record(lab, log, 31, empty=True), record(lab, log, 32)
    for uid in (bad, good):
        lab.wait(uid)
    text = analyse().end(1)
    assert f"{bad}  rbs           WeakSignal: run {bad}: every spectrum is empty" in text
    assert "1 failed" in text
    assert len(results(lab)[good]) == 1
    assert bad not in results(lab)
    named = analyse(bad, good, "nowhere").end(1)
    assert results(lab)[good][0].item["id"] in named
    assert "WeakSignal" in named
    assert "no run nowhere" in named


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kinds", "rbs,gold"), "gold"),
        (("--since", "yesterday"), "write a time as"),
        (("--follow", "uid"), "leave them out, or the uids"),
        (("--models", "nowhere"), "there is no such folder"),
    ],
)
def test_wrong_words_are_told(analyse: Any, words: tuple[str, ...], told: str) -> None:
    assert told in analyse(*words).end(1)


class Killed(BaseException):
    """Stands for a program that is killed here."""


def some(value: float) -> tuple[dict[str, Any], dict[str, Any], Result]:
    about = {"units": {}, "derived_from": ["r"], "method": "test", "parameters": {"value": value}}
    arrays = {name: np.full(3, value) for name in "abc"}
    return about, arrays, Result(arrays, {name: ["x"] for name in "abc"}, {})


def nodes_of(lab: Lab, value: float) -> dict[str, bool]:
    found = lab.client["analysis"].search(Eq("parameters.value", value))
    return {str(key): bool(node.metadata["complete"]) for key, node in found.items()}


@pytest.mark.parametrize("arrays_written", [0, 1, 3])
def test_a_result_that_was_left_half_written_is_made_again(lab: Lab, arrays_written: int, monkeypatch: Any) -> None:
    from tiled.client.container import Container

    value = 10.0 + arrays_written
    about, _, result = some(value)
    with monkeypatch.context() as patch:
        write, left = Container.write_array, [arrays_written]

        def killed(self: Any, *args: Any, **options: Any) -> Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return write(self, *args, **options)

        patch.setattr(Container, "write_array", killed)
        if arrays_written == 3:  # after the last array, before the word that it is complete
            patch.setattr(Container, "update_metadata", killed)
        with pytest.raises(Killed):
            put(lab.client, "test", about, lambda: result)
    assert list(nodes_of(lab, value).values()) == [False]
    assert not len(find_analyses(lab.client, "test", **{"parameters.value": value}))
    key = put(lab.client, "test", about, lambda: result)
    assert nodes_of(lab, value) == {key: True}
    assert read_analysis(lab.client, key).arrays["c"].tolist() == [value] * 3
    assert put(lab.client, "test", about, lambda: pytest.fail("it is there")) == key


def test_killed_before_the_old_one_is_removed(lab: Lab, monkeypatch: Any) -> None:
    from sdl_bluesky.data import analysis

    about, arrays, result = some(20.0)
    old = put(lab.client, "test", about, lambda: result)

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(analysis, "_remove", killed)
        with pytest.raises(Killed):
            write_analysis(lab.client, "test", arrays, result.dims, about)
    assert len(nodes_of(lab, 20.0)) == 2
    key = put(lab.client, "test", about, lambda: pytest.fail("it is there"))
    assert key != old
    assert nodes_of(lab, 20.0) == {key: True}


@pytest.mark.parametrize("when", ["made", "written"])
def test_two_who_write_the_same_at_once_leave_one(lab: Lab, when: str, monkeypatch: Any) -> None:
    """The other begins and ends while the first one makes its result, or writes it."""
    from tiled.client.container import Container

    value = 30.0 if when == "made" else 31.0
    about, _, result = some(value)
    other: list[str] = []

    def slowly() -> Result:
        if when == "made":
            other.append(put(lab.client, "test", about, lambda: result))
        return result

    with monkeypatch.context() as patch:
        write = Container.write_array

        def writing(self: Any, *args: Any, **options: Any) -> Any:
            if when == "written" and not other:
                other.append("")
                other[0] = put(lab.client, "test", about, lambda: result)
            return write(self, *args, **options)

        patch.setattr(Container, "write_array", writing)
        key = put(lab.client, "test", about, slowly)
    assert other == [key]
    assert nodes_of(lab, value) == {key: True}
    assert store.put(lab.client, "test", about, lambda: pytest.fail("it is there")) == key
