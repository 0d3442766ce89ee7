"""What needs no running Tiled: settings, keys, profile, status file, lock, lifeline, typed errors."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from sdl_bluesky.data.lifeline import end, spawn, tail
from sdl_bluesky.data.profile import write_profile
from sdl_bluesky.data.server import TiledServer, api_key
from sdl_bluesky.data.settings import TiledSettings
from sdl_bluesky.data.status import Status, feeding, read_status, status_path
from sdl_bluesky.errors import PortInUse, ServiceError, ServiceMissing

KEY = "0123456789abcdef"


def test_local_settings_put_everything_into_one_folder(tmp_path):
    settings = TiledSettings.local(tmp_path, port=8001)
    config = settings.config()
    assert settings.port == 8001
    assert config["trees"][0]["args"]["uri"] == f"sqlite:///{tmp_path}/catalog.db"
    assert config["trees"][0]["args"]["writable_storage"] == [
        f"{tmp_path}/files",
        f"duckdb:///{tmp_path}/tables.duckdb",
    ]
    assert config["streaming_cache"] == {"uri": "memory"}
    assert "json_seq_exporter" in config["media_types"]["BlueskyRun"]["application/json-seq"]


def test_a_facility_is_a_matter_of_settings():
    storage = ("file:///arrays", "postgresql://db/tables")
    settings = TiledSettings("postgresql+asyncpg://db/catalog", storage, "redis://cache:6379", ("/data",))
    config = settings.config()
    assert config["trees"][0]["args"] == {
        "uri": "postgresql+asyncpg://db/catalog",
        "writable_storage": list(storage),
        "readable_storage": ["/data"],
    }
    assert config["streaming_cache"] == {"uri": "redis://cache:6379"}
    assert "streaming_cache" not in replace(settings, streaming_cache="").config()
    assert replace(settings, keys="sqlite:///k.db").config()["database"] == {"uri": "sqlite:///k.db"}
    assert yaml.safe_load(yaml.safe_dump(dict(config))) == config


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.delenv("TILED_API_KEY", raising=False)
    key = api_key(tmp_path / "new")
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert api_key(tmp_path / "new") == key
    assert (tmp_path / "new" / "api-key").stat().st_mode & 0o777 == 0o600
    assert api_key(tmp_path / "other") != key
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["api-key"]


def test_the_key_of_the_environment_comes_first_and_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("TILED_API_KEY", "abc123")
    assert api_key(tmp_path) == "abc123"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TILED_API_KEY", "not-alphanumeric")
    with pytest.raises(ServiceError, match="letters and digits"):
        api_key(tmp_path)


def test_a_busy_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"):
            TiledServer.start(TiledSettings.local(tmp_path, port=port), tmp_path, KEY)


@pytest.mark.parametrize("key", ["abc", "notahexkey", "abcdef"])
def test_the_key_of_an_own_server_has_hexadecimal_digits(tmp_path, key):
    with pytest.raises(ServiceError, match=r"(?s)hexadecimal.*TILED_API_KEY"):
        TiledServer.start(TiledSettings.local(tmp_path), tmp_path, key)


def test_an_address_of_another_machine_is_a_typed_error(tmp_path):
    with pytest.raises(ServiceError, match="another address"):
        TiledServer.start(TiledSettings.local(tmp_path, host="192.0.2.1"), tmp_path, KEY)


@pytest.mark.parametrize(
    ("arguments", "timeout", "words"),
    [(["--nonsense"], 60.0, "(?s)ended at once.*usage"), (["0"], 0.5, "(?s)in time.*Serving")],
)
def test_a_server_that_does_not_come_up_shows_the_end_of_its_log(tmp_path, monkeypatch, arguments, timeout, words):
    def another(module, given, log, env, pass_fds):
        process = spawn("http.server", ["--bind", "127.0.0.1", *arguments], log, {"PYTHONUNBUFFERED": "1"})
        wait_for_words(log, "Serving", process)  # what is too late is its answer
        return process

    monkeypatch.setattr("sdl_bluesky.data.server.spawn", another)
    with pytest.raises(ServiceError, match=words):
        TiledServer.start(TiledSettings.local(tmp_path), tmp_path, KEY, timeout=timeout)


def wait_for_words(log, words, process):
    """Wait until a program has said this, or has ended."""
    deadline = time.monotonic() + 60
    while words not in tail(log) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def test_the_profile_holds_no_key(tmp_path):
    path = write_profile(tmp_path / "profiles", "http://127.0.0.1:8000/api/v1/", "lab")
    assert yaml.safe_load(path.read_text()) == {
        "lab": {"uri": "http://127.0.0.1:8000/api/v1/metadata/raw"},
        "lab-campaigns": {"uri": "http://127.0.0.1:8000/api/v1/metadata/campaigns"},
        "lab-analysis": {"uri": "http://127.0.0.1:8000/api/v1/metadata/analysis"},
    }


def test_the_status_survives_the_file(tmp_path):
    status = Status("0123abc", "http://here", files={"a.jsonl": {"read": 10, "resume": 5, "done": {"u": 7}}})
    status.save(tmp_path)
    assert read_status(tmp_path, "0123abc") == status
    assert read_status(tmp_path, "another") is None
    assert status.has_all({"a.jsonl": 10})
    assert not status.has_all({"a.jsonl": 11})
    assert not status.has_all({"b.jsonl": 1})
    assert not Status("c", "u", "behind", files=status.files).has_all({"a.jsonl": 10})
    assert not Status("c", "u", files=status.files, troubled={"u": "why"}).has_all({"a.jsonl": 10})


@pytest.mark.parametrize("content", ["", "{}", '{"catalogue": "abc", "schema": 99}', "[1]"])
def test_a_status_file_that_cannot_be_read_is_none(tmp_path, content):
    status_path(tmp_path, "abc").write_text(content)
    assert read_status(tmp_path, "abc") is None


def test_one_process_feeds_a_catalogue(tmp_path):
    with feeding(tmp_path, "abc"):
        with pytest.raises(ServiceError, match=f"process {os.getpid()} feeds"), feeding(tmp_path, "abc", timeout=0.1):
            pass
        with feeding(tmp_path, "another"):
            pass
    with feeding(tmp_path, "abc", timeout=0):
        pass


def test_nobody_at_the_address_is_a_missing_service():
    from sdl_bluesky.data.catalogue import connect

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ServiceMissing, match=f"127.0.0.1:{port}.*sdl up"):
        connect(f"http://127.0.0.1:{port}", "key")
    assert time.monotonic() - began < 5


def test_another_server_at_the_address_is_a_typed_error():
    from sdl_bluesky.data.catalogue import connect

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(ServiceError, match="is it a Tiled server"):
            connect(f"http://127.0.0.1:{other.server_port}", "key")
        other.shutdown()


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(
        "import sys, time\nfrom sdl_bluesky.data.lifeline import end_with\n"
        "end_with(int(sys.argv[1]))\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    parent = textwrap.dedent("""
        import os, subprocess, sys, threading
        def start():  # from a thread that ends: the child must outlive it
            child = subprocess.Popen([sys.executable, sys.argv[1], str(os.getpid())], stdout=subprocess.PIPE)
            child.stdout.readline()
            print(child.pid, flush=True)
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        sys.stdin.read()
    """)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", parent, str(child)], **pipes) as process:
        handle = os.pidfd_open(int(process.stdout.readline()))
        try:
            assert not is_gone(handle, 0.3), "the child ended with the thread that started it"
            process.kill()
            assert is_gone(handle, 30.0)
        finally:
            os.close(handle)


def is_gone(handle, timeout):
    import select

    return bool(select.select([handle], [], [], timeout)[0])


def test_spawned_programs_leave_their_words_and_are_ended(tmp_path):
    log = tmp_path / "new" / "log"
    process = spawn("http.server", ["--bind", "127.0.0.1", "0"], log, {"PYTHONUNBUFFERED": "1"})
    wait_for_words(log, "Serving", process)
    assert "Serving" in tail(log)
    assert os.getpgid(process.pid) != os.getpgid(0), "Ctrl-C in the terminal must not reach it"
    assert end(process, 30.0) == -signal.SIGTERM
    assert end(process, 30.0) == -signal.SIGTERM
    assert tail(tmp_path / "none") == ""
    with pytest.raises(ServiceError, match="cannot be written"):
        spawn("http.server", [], log / "below a file", {})


def test_modules_are_light():
    names = ("log", "logfile", "status", "settings", "lifeline", "writer", "server", "profile", "catalogue", "analysis")
    names += ("consumers.keys", "consumers.follow")
    code = "import sys, " + ", ".join(f"sdl_bluesky.data.{name}" for name in names)
    code += "; print(sorted({'tiled', 'pandas', 'dask', 'xarray', 'bluesky'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
