"""Terminals of a user: `sdl` commands in a folder, each a process group of its own, as a real terminal makes them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from _lab import lab_data

ROOT = Path(__file__).parents[2]
SDL = (sys.executable, "-m", "sdl_bluesky.cli")
STEADY = {"baseline": "300 s", "longest": "500 s"}
"""Of measurements: an instrument that stands still for 2 s loses 200 s at this speed, and leaves rows enough."""


class Place:
    """A user's folder with a copy of startup/, and the folder where the user's data go by default.

    Attributes:
        folder: what a clone of the repository is to a user; commands are started here.
        home: where the lab's data go if nobody says anything else.
    """

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        self.folder, share = tmp_path / "clone", tmp_path / "share"
        shutil.copytree(ROOT / "startup", self.folder / "startup")
        self.data = lab_data("auto", speed=100.0, heartbeat_timeout_s=10.0, **changes)
        (self.folder / "startup" / "lab.yml").write_text(yaml.safe_dump(self.data, sort_keys=False))
        self.home = share / "sdl_bluesky" / str(self.data["name"])
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_", "TILED_", "SDL_", "QSERVER_"))}
        self.env |= {"XDG_DATA_HOME": str(share), "PYTHONUNBUFFERED": "1"}
        self.files = self.listing()

    def listing(self) -> set[Path]:
        """Everything in the folder."""
        return set(self.folder.rglob("*"))

    def start(self, *command: str, folder: Path | None = None) -> Terminal:
        """Start a command and go on."""
        return Terminal(command, folder or self.folder, self.env)

    def sdl(
        self, *arguments: str, typed: str | None = None, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run an `sdl` command to its end, with `typed` as its standard input."""
        return subprocess.run(
            [*SDL, *arguments],
            env=self.env,
            cwd=folder or self.folder,
            input=typed or "",
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def services(self) -> dict[str, Any]:
        """What runs, as other commands see it."""
        found: dict[str, Any] = json.loads((self.home / "services.json").read_text())
        return found

    def assert_ended(self, up: Terminal, status: int, started: set[int]) -> None:
        """Assert that `sdl up` went in order and left nothing behind but data."""
        assert status == 0, up.text
        assert up.text.rstrip().endswith("ended")
        assert "Traceback" not in up.text
        assert not alive(started)
        assert not (self.home / "services.json").exists()
        assert self.listing() == self.files

    def client(self) -> Any:
        """A plain Tiled client: nothing of ours but the address and the key."""
        from tiled.client import from_uri

        return from_uri(self.services()["tiled_uri"], api_key=(self.home / "tiled" / "api-key").read_text().strip())

    def wait_for_run(self, uid: str, timeout_s: float = 60.0) -> Any:
        """The run, once it is complete in the catalogue."""
        client = self.client()
        deadline = time.monotonic() + timeout_s
        while uid not in client["raw"] or not client["raw"][uid].metadata.get("stop"):
            assert time.monotonic() < deadline, f"run {uid} is not in the catalogue"
            time.sleep(0.1)
        return client["raw"][uid]


class Terminal:
    """One running command."""

    def __init__(self, command: tuple[str, ...], folder: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def expect(self, words: str, timeout_s: float = 120.0) -> None:
        """Wait until the command has said this."""
        deadline = time.monotonic() + timeout_s
        while words not in self.text:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(30)
            if words not in self.text and (ended or time.monotonic() > deadline):
                raise AssertionError(f"{words!r} was not said:\n{self.text}")
            time.sleep(0.02)

    def end(self, number: int = signal.SIGINT, timeout_s: float = 120.0) -> int:
        """Send a signal to the process group, as a terminal does for Ctrl-C; the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise
        self._reader.join(30)
        return self.process.returncode


def descendants(pid: int) -> set[int]:
    """Process numbers of all children of a process, and theirs."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    fresh = {pid}
    while fresh := {child for child, parent in parents.items() if parent in fresh} - found:
        found |= fresh
    return found


def alive(pids: set[int], within_s: float = 30.0) -> set[int]:
    """Which of these processes still run after a moment of grace (zombies do not)."""
    deadline = time.monotonic() + within_s
    while left := {pid for pid in pids if _state(pid) not in ("", "Z")}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""
