"""`sdl shell` without a person: code on the command line and on standard input, exit status, what is left behind."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from _terminal import SDL, STEADY, Place, alive, descendants

from sdl_bluesky.session.catalogue import open_catalogue
from sdl_bluesky.session.claim import Claim

pytestmark = pytest.mark.system

UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A lab that `sdl up` keeps in another terminal."""
    place = Place(tmp_path_factory.mktemp("shell"), measurement=STEADY)
    up = place.start(*SDL, "up")
    try:
        up.expect("ready")
        started = descendants(up.process.pid)
        yield place
    finally:
        status = up.end(signal.SIGTERM)
    place.assert_ended(up, status, started)


def test_a_plan_runs_with_a_live_table_and_leaves_nothing_behind(lab: Place) -> None:
    before = lab.services()
    done = lab.sdl("shell", "-c", "RE(measure_rate('cu', 50, 8, sample='shell'))")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"\|\s+seq_num\s+\|\s+time\s+\|.*qcm1_rate", done.stdout)
    [uid] = set(UID.findall(done.stdout))
    run = lab.wait_for_run(uid)
    assert run.metadata["start"]["sample"] == "shell"
    assert run.metadata["stop"]["exit_status"] == "success"
    assert lab.services() == before  # it used those of the other terminal
    assert lab.listing() == lab.files


def test_typed_lines_run_until_the_first_failure(lab: Place, tmp_path: Path) -> None:
    lines = ["%wa", "%ct", "for i in range(2):", "    print('line', i)", "", "%mov cu.power 20", "%wa sources"]
    good = lab.sdl("shell", "--home", str(lab.home), "--lab", str(lab.folder / "startup" / "lab.yml"),
                   typed="\n".join(lines), folder=tmp_path)  # fmt: skip
    assert good.returncode == 0, good.stdout + good.stderr
    assert "Error" not in good.stdout + good.stderr
    places = re.findall(r"^\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+\S+\s*$", good.stdout, re.MULTILINE)
    assert ("cu_power", "0.0", "0.0", "100.0") in places
    assert ("sn_shutter", "Closed", "Closed", "Open") in places
    assert ("gas_flow", "0.0", "150.0") in {(name, low, high) for name, _, low, high in places}
    assert [float(value) for name, value, *_ in places if name == "cu_power"][-1] == pytest.approx(20.0, abs=1.0)
    assert re.search(r"^qcm2_frequency\s+59\d+", good.stdout, re.MULTILINE)
    assert "line 1" in good.stdout
    assert not list(tmp_path.iterdir())

    bad = lab.sdl("shell", typed="RE(measure_rate('xx', 50, 8))\nprint('not' + ' reached')\n")
    assert bad.returncode == 1
    assert "UnknownName: unknown source 'xx': choose one of 'cu', 'sn', 'ni', 'al'" in bad.stderr
    assert "Traceback" not in bad.stdout + bad.stderr  # typed errors are told in a line
    assert "not reached" not in bad.stdout
    with sqlite3.connect(lab.home / "ipython" / "profile_default" / "history.sqlite") as history:
        typed = {line for (line,) in history.execute("select source_raw from history")}
    assert {"%wa", "RE(measure_rate('xx', 50, 8))"} <= typed


def test_a_file_that_fails_says_so(lab: Place, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print('begun')\nRE(measure_rate('cu', 1e4, 8))\nprint('not' + ' reached')\n")
    done = lab.sdl("shell", str(script))
    assert done.returncode == 1
    assert "begun" in done.stdout
    assert "not reached" not in done.stdout
    assert "OutOfRange: cu_power: 10000 W is outside" in done.stderr


def test_one_session_at_a_time_is_in_charge(lab: Place) -> None:
    holder = Claim(lab.home / "session.lock", "runs this lab")
    try:
        refused = lab.sdl("shell", "-c", "print('not' + ' reached')")
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"sdl: ServiceError: process {os.getpid()} runs this lab already")
        assert "not reached" not in refused.stdout
        with open_catalogue(home=lab.home) as client:  # who only reads is nobody's rival
            assert "raw" in client
    finally:
        holder.release()


def test_a_shell_alone_starts_its_services_and_ends_them(tmp_path: Path) -> None:
    place = Place(tmp_path)
    code = "print('PIDS', *session.services.info.children.values()); RE(mv(cu.shutter, 'Open')); print(cu.shutter.position)"
    done = place.sdl("shell", "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("Open")
    started = {int(pid) for pid in re.search(r"PIDS (.*)", done.stdout)[1].split()}  # type: ignore[index]
    assert len(started) == 4
    assert not alive(started)
    assert not (place.home / "services.json").exists()
    assert place.listing() == place.files
