from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from sdl_bluesky.demo.sputter import MARK, prepare
from sdl_bluesky.errors import LabFileError, PortInUse, ServiceError
from sdl_bluesky.session.epics_env import client_variables, free_port, is_free
from sdl_bluesky.session.home import Home, ServiceInfo, find_home, own_start
from sdl_bluesky.session.lab import load_lab
from sdl_bluesky.session.scan_id import ScanId
from sdl_bluesky.session.twin import choose_ports, start_ioc, start_iocs, twin_config


def info(pid: int, started: float) -> ServiceInfo:
    return ServiceInfo(pid, started, "twin", "SDL:", "127.0.0.1", 5064, "http://127.0.0.1:8000", {})


def test_services_are_found_while_their_process_lives(tmp_path: Path) -> None:
    home = Home(tmp_path).make()
    assert home.services() is None
    home.write_services(info(os.getpid(), own_start()))
    assert home.services() == info(os.getpid(), own_start())
    home.write_services(info(os.getpid(), own_start() - 1))  # the number was used by another process before
    assert home.services() is None


def test_the_folder_is_chosen_by_argument_environment_and_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SDL_HOME", raising=False)
    monkeypatch.delenv("SDL_LAB", raising=False)
    assert find_home(None, load_lab()).path == tmp_path / "data" / "sdl_bluesky" / "twin"
    monkeypatch.setenv("SDL_HOME", str(tmp_path / "env"))
    assert find_home().path == tmp_path / "env"
    assert find_home(tmp_path / "given").path == tmp_path / "given"


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="--home"):
        Home(tmp_path / "file" / "x").make()


def test_a_busy_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(PortInUse, match=str(port)):
            start_ioc(load_lab(), Home(tmp_path).make(), port)
    assert is_free("127.0.0.1", free_port())


def test_the_twin_is_told_places_and_ranges_and_nothing_that_we_believe(tmp_path: Path) -> None:
    config = twin_config(load_lab(), Home(tmp_path))
    assert set(config["sources"][0]) == {"name", "element", "pv", "position_cm", "axis", "max_power_W"}
    assert set(config["sensors"][0]) == {"name", "pv", "position_cm", "normal", "f0_Hz"}
    assert config["truth_file"] == str(tmp_path / "truth.json")


def test_the_station_is_told_its_set_up_and_where_the_films_are(tmp_path: Path) -> None:
    home = Home(tmp_path)
    config = twin_config(load_lab(), home, "rbs")
    assert config["prefix"] == "SDL:RBS:"
    assert config["films_file"] == str(home.truth) == twin_config(load_lab(), home)["truth_file"]
    assert config["truth_file"] != config["films_file"]
    assert config["state_file"] != twin_config(load_lab(), home)["state_file"]
    assert config["setup"] == {
        "ion": "4He", "theta_deg": 165.0, "geometry": "IBM", "slope_keV": 2.0, "offset_keV": 0.0,
        "resolution_fwhm_keV": 15.0, "solid_angle_msr": 10.0, "channels": 1024,
    }  # fmt: skip
    assert config["substrate"] == [{"O": 16000.0, "Si": 8000.0}]
    assert not {"sources", "sensors", "grid"} & set(config)


def test_no_two_iocs_get_one_port() -> None:
    for _ in range(20):
        ports = [port for _, port in choose_ports(load_lab()).values()]
        assert len(ports) == 3
        assert min(np.diff(sorted(ports))) > 1, "the next port is that of the repeater"


def test_a_client_finds_both_iocs_and_no_others() -> None:
    variables = client_variables("127.0.0.1", 5064, ("10.0.0.7", 5070), ("127.0.0.1", 5064))
    assert variables["EPICS_CA_ADDR_LIST"] == "127.0.0.1:5064 10.0.0.7:5070"
    assert variables["EPICS_CA_AUTO_ADDR_LIST"] == "NO"
    two = ServiceInfo(1, 2.0, "twin", "SDL:", "a", 5064, "uri", {}, "b", 5070)
    assert two.addresses == [("a", 5064), ("b", 5070)]
    assert info(1, 2.0).addresses == [("127.0.0.1", 5064)]


def test_one_ioc_that_cannot_start_ends_the_other(tmp_path: Path) -> None:
    lab, home = load_lab(), Home(tmp_path).make()
    ports = {ioc: port for ioc, (_, port) in choose_ports(lab).items()}
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports["rbs"]))
        other.listen()
        with pytest.raises(PortInUse, match=str(ports["rbs"])):
            start_iocs(lab, home, {ioc: ("127.0.0.1", port) for ioc, port in ports.items()})
    assert is_free("127.0.0.1", ports["sputter"])


def test_scan_numbers_go_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "scan-id"
    assert [ScanId(path)({}), ScanId(path)({}), ScanId(path)({})] == [1, 2, 3]
    path.write_text("damaged")
    assert ScanId(path)({}) == 1


def test_a_demonstration_replaces_only_demonstrations(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ServiceError, match="empty folder"):
        prepare(tmp_path, 100.0, 0)
    assert (tmp_path / "thesis.tex").exists()
    _, home = prepare(tmp_path / "out", 100.0, 3)
    assert home.load_lab().twin is not None
    assert home.load_lab().twin.seed == 3  # type: ignore[union-attr]
    (home.path / "old").write_text("")
    prepare(tmp_path / "out", 100.0, 4)
    assert (home.path / MARK).exists()
    assert not (home.path / "old").exists()


def test_a_wrong_speed_is_refused_before_the_folder_is_touched(tmp_path: Path) -> None:
    with pytest.raises(LabFileError, match="speed"):
        prepare(tmp_path / "out", 0.0, 0)
    assert not (tmp_path / "out").exists()
