"""A campaign out of one data folder, as a file, and into another one: the same runs, results and decisions, once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine

from sdl_bluesky.analysis.jobs import analyse_run
from sdl_bluesky.cli import main
from sdl_bluesky.data.analysis import find_analyses, read_analysis, write_analysis
from sdl_bluesky.data.catalogue import analysis, connect
from sdl_bluesky.data.export.read import read_bundle
from sdl_bluesky.data.export.restore import restore
from sdl_bluesky.data.export.runs import result_digest
from sdl_bluesky.data.log import DocumentLog, read_log
from sdl_bluesky.data.replay import replay
from sdl_bluesky.data.server import TiledServer
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.data.status import wait_until_written
from sdl_bluesky.data.writer import start_writer
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.plans.campaign import run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.session.campaigns import list_campaigns, replay_campaign
from sdl_bluesky.session.catalogue import open_catalogue
from sdl_bluesky.session.home import Home, ServiceInfo, own_start

pytestmark = pytest.mark.system

UNIT_TESTS = Path(__file__).parents[1] / "unit"
CAMPAIGN = {
    "schema": 1,
    "name": "out-and-in",
    "sample": "s1",
    "seed": 1,
    "learn": {
        "cu": {"power": "10 to 80 W", "experiments": 4},
        "sn": {"power": "10 to 80 W", "experiments": 3, "agent": "sobol"},
    },
    "deposit": {"powers": {"cu": "50 W", "sn": "40 W"}, "pressure": "8 mTorr", "duration": "100 s"},
}
KEY = "0123456789abcdef"


@dataclass(frozen=True)
class Known:
    """What a catalogue says of the campaign."""

    listed: list[Any]
    results: dict[str, tuple[Any, str]]


def known(client: Any) -> Known:
    results = [read_analysis(client, key) for key in analysis(client)]
    kept = {one.key: (one.metadata["derived_from"], result_digest(one)) for one in results}
    return Known(list_campaigns(client), kept)


def documents(log_dir: Path) -> list[str]:
    return sorted(json.dumps(one, sort_keys=True) for one in read_log(log_dir))


@dataclass(frozen=True)
class Origin:
    """The data folder in which the campaign was made."""

    home: Home
    campaign: str
    known: Known
    replayed: list[Any]


def make_campaign(log_dir: Path) -> str:
    """A whole campaign on fake machines that answer by laws, in a second; its documents in a log."""
    sys.path[:0] = [str(UNIT_TESTS / folder) for folder in ("plans", "devices")]
    from campaign_lab import CampaignLab
    from device_fakes import fake_chamber

    lab, chamber = CampaignLab(seed=3), fake_chamber()
    engine = RunEngine({"geometry": lab.geometry}, context_managers=[], call_returns_result=True)
    with DocumentLog(log_dir) as log, pytest.MonkeyPatch.context() as patch, lab.instead_of_the_machine(patch):
        engine.subscribe(log)
        file = check(CAMPAIGN, CampaignFile, "campaign.yml")
        done = engine(run_campaign(chamber, file, SputterSettings(), geometry=lab.geometry))
    chamber.liveness.close()
    return done.plan_result.campaign


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder without a lab file of its user, so that all data folders are of the lab that is shipped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        for name in ("SDL_LAB", "SDL_HOME", "TILED_API_KEY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """A campaign of two sources and a film in a log and a catalogue whose services run, with results of two kinds."""
    home = Home(tmp_path_factory.mktemp("origin"))
    campaign = make_campaign(home.log)
    with TiledServer.start(TiledSettings.local(home.tiled), home.tiled) as server:
        client = connect(server.uri, server.api_key)
        replay(home.log, client)
        assert len(analyse_run(client, campaign)) == 2
        arrays = {"yield": [[1.0, 2.0], [3.0, 4.5]], "element": ["Cu", "Sn"], "flag": [True, False]}
        metadata = {"units": {"yield": "counts"}, "derived_from": [campaign], "method": "by hand"}
        dims = {"yield": ["element", "row"], "element": ["element"], "flag": ["row"]}
        write_analysis(client, "other", arrays, dims, metadata)
        home.write_services(ServiceInfo(os.getpid(), own_start(), "test", "T:", "127.0.0.1", 1, server.uri, {}))
        yield Origin(home, campaign, known(client), list(replay_campaign(client, campaign)))


@pytest.fixture(scope="module")
def file(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The campaign, exported by the command."""
    path = tmp_path_factory.mktemp("out") / "campaign.h5"
    assert main(["campaign", "export", origin.campaign[:8], "--out", str(path), "--home", str(origin.home.path)]) == 0
    assert (path.parent / "campaign-csv" / "datapackage.json").exists()
    return path


def test_another_data_folder_has_the_same_campaign(
    origin: Origin, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(origin.replayed) == 7
    assert max(row.difference for row in origin.replayed) <= 1e-9
    assert main(["campaign", "import", str(file), "--home", str(tmp_path)]) == 0
    assert "runs: 9 new, 0 already there; results: 3 new, 0 already there" in capsys.readouterr().out
    assert documents(tmp_path / "log") == documents(origin.home.log)
    with open_catalogue(None, tmp_path) as client:
        assert known(client) == origin.known
        assert list(replay_campaign(client, origin.campaign)) == origin.replayed
        logs = {path: path.read_bytes() for path in (tmp_path / "log").glob("*.jsonl")}
        again = restore(read_bundle(file), tmp_path / "log", client, file)
        assert str(again) == "runs: 0 new, 9 already there; results: 0 new, 3 already there"
        assert known(client) == origin.known
        assert {path: path.read_bytes() for path in (tmp_path / "log").glob("*.jsonl")} == logs

        surfaces = find_analyses(client, "rate_surface", campaign=origin.campaign)
        assert sorted(analyse_run(client, origin.campaign)) == sorted(surfaces), "results are known, not made anew"


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """The log folder and a client of a lab that is at work: its writer feeds its catalogue."""
    with TiledServer.start(TiledSettings.local(tmp_path / "tiled"), tmp_path / "tiled", KEY) as server:
        writer = start_writer(tmp_path / "log", server.uri, KEY, tmp_path / "writer.log")
        try:
            with DocumentLog(tmp_path / "log") as log:  # of the session that runs
                log("start", {"uid": "running", "time": 1.0, "scan_id": 1})
                log("stop", {"uid": "ended", "run_start": "running", "time": 2.0, "exit_status": "success"})
                client = connect(server.uri, KEY)
                wait_until_written(tmp_path / "log", client, "running", 60.0)
                yield tmp_path / "log", client
        finally:
            writer.terminate()
            writer.wait(60)


def test_a_lab_at_work_takes_it_by_its_writer(origin: Origin, file: Path, fed: tuple[Path, Any]) -> None:
    log_dir, client = fed
    bundle = read_bundle(file)
    assert len(restore(bundle, log_dir, client, file).runs) == 9
    assert known(client) == origin.known
    assert restore(bundle, log_dir, client, file).runs == ()
    assert known(client) == origin.known


def test_faults_have_a_type_and_leave_nothing(
    origin: Origin, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, home = ["--out", str(tmp_path / "x.h5")], ["--home", str(origin.home.path)]
    assert main(["campaign", "export", "nobody", *out, *home]) == 1
    assert "CatalogueError: no campaign begins with 'nobody'" in capsys.readouterr().err
    assert main(["campaign", "export", origin.campaign, "--out", str(file), *home]) == 1
    assert "is there already" in capsys.readouterr().err
    half = tmp_path / "half.h5"
    half.write_bytes(file.read_bytes()[:100_000])
    assert main(["campaign", "import", str(half), "--home", str(tmp_path / "new")]) == 1
    assert "DataFileError" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"half.h5"}
