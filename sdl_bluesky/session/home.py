"""The data folder of a lab: where its log, catalogue, simulated state and running services are kept.

HOME/lab.yml          the lab file it belongs to (written by the demonstration, read when it is there)
HOME/log/             the write-ahead document log
HOME/tiled/           the catalogue's databases, files, configuration and key
HOME/twin/            configuration, state and log of the simulated instruments
HOME/truth.json       the hidden truth of the simulated chamber: for a judge, read by nothing in this package
HOME/truth-rbs.json   that of the simulated RBS end station
HOME/truth-mocvd.json that of the simulated MOCVD reactor
HOME/models/          networks for backscattering spectra, beside those of this package
HOME/approvals/       steps that wait for a person, and the answers
HOME/services.json    addresses of the running services, while they run
HOME/services.lock    held by the process that keeps the services
HOME/session.lock     held by the process that runs the lab; reading the catalogue does not need it
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sdl_bluesky.errors import ServiceError
from sdl_bluesky.session.lab import LabFile, default_lab_path, load_lab


@dataclass(frozen=True)
class ServiceInfo:
    """Where the services of a lab answer, which process keeps them, and their own process numbers.

    `ca_host` and `ca_port` are those of the sputter chamber's IOC; `rbs_*` those of the RBS end station's and `mocvd_*`
    those of the MOCVD reactor's, None where there is none.
    """

    pid: int
    started: float
    lab: str
    prefix: str
    ca_host: str
    ca_port: int
    tiled_uri: str
    children: dict[str, int]
    rbs_host: str | None = None
    rbs_port: int | None = None
    mocvd_host: str | None = None
    mocvd_port: int | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every IOC."""
        others = ((self.rbs_host, self.rbs_port), (self.mocvd_host, self.mocvd_port))
        found = [(host, port) for host, port in others if host is not None and port is not None]
        return [(self.ca_host, self.ca_port), *found]


@dataclass(frozen=True)
class Home:
    """The data folder of one lab."""

    path: Path

    @property
    def log(self) -> Path:
        """Folder of the document log."""
        return self.path / "log"

    @property
    def tiled(self) -> Path:
        """Folder of the catalogue."""
        return self.path / "tiled"

    @property
    def twin(self) -> Path:
        """Folder of the simulated instruments."""
        return self.path / "twin"

    @property
    def models(self) -> Path:
        """Folder of networks for backscattering spectra; it need not be there."""
        return self.path / "models"

    @property
    def approvals(self) -> Path:
        """Where steps of a campaign wait for a person."""
        return self.path / "approvals"

    @property
    def truth(self) -> Path:
        """Where the simulated chamber writes what only a judge may know."""
        return self.path / "truth.json"

    def truth_of(self, ioc: str) -> Path:
        """Where the simulated instrument of this name writes what only a judge may know."""
        return self.truth if ioc == "sputter" else self.path / f"truth-{ioc}.json"

    def log_of(self, ioc: str) -> Path:
        """What the simulated instrument of this name writes on its standard error."""
        return self.twin / ("ioc.log" if ioc == "sputter" else f"{ioc}.log")

    @property
    def lab_file(self) -> Path:
        """The lab file kept with the data, if any."""
        return self.path / "lab.yml"

    @property
    def services_file(self) -> Path:
        """Written while services run."""
        return self.path / "services.json"

    @property
    def services_lock(self) -> Path:
        """Held by the process that keeps the services, see `sdl_bluesky.session.claim`."""
        return self.path / "services.lock"

    @property
    def session_lock(self) -> Path:
        """Held by the one process that is in charge of the machine."""
        return self.path / "session.lock"

    def make(self) -> Home:
        """Make the folders.

        Raises:
            ServiceError: they cannot be made, or the disk is full.
        """
        try:
            for folder in (self.path, self.log, self.tiled, self.twin):
                folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.path).free
        except OSError as fault:
            raise ServiceError(
                f"the data folder {self.path} cannot be used ({fault}): choose another with --home"
            ) from fault
        if free < 50_000_000:
            raise ServiceError(
                f"only {free / 1e6:.0f} MB are free for {self.path}: make room or choose another with --home"
            )
        return self

    def write_services(self, info: ServiceInfo) -> None:
        """Tell others where the services are."""
        temporary = self.services_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(info), indent=1))
        os.replace(temporary, self.services_file)

    def services(self) -> ServiceInfo | None:
        """Addresses of the services if the process that keeps them is alive."""
        try:
            info = ServiceInfo(**json.loads(self.services_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return info if _started(info.pid) == info.started else None

    def wait_for_orphans(self, timeout_s: float = 30.0) -> None:
        """Wait for services whose keeper was killed: they bring home what they have and end by themselves.

        The last to go is Tiled, 23 s after its keeper at most (`serve.LINGER_S`, and what `lifeline.end_with` leaves it).

        Raises:
            ServiceError: one lives on.
        """
        try:
            children: dict[str, int] = json.loads(self.services_file.read_text())["children"]
        except (OSError, ValueError, KeyError):
            return
        deadline = time.monotonic() + timeout_s
        while alive := {name: pid for name, pid in children.items() if _is_service(pid)}:
            if time.monotonic() > deadline:
                raise ServiceError(f"services of a dead process do not end in {self.path}: end them ({alive})")
            time.sleep(0.05)

    def holds(self, uid: str) -> bool:
        """Whether a run whose uid begins so stands in this folder's log."""
        mark = f'["start", {{"uid": "{uid}'.encode()
        for path in sorted(self.log.glob("*.jsonl")):
            with path.open("rb") as lines:
                if any(line.startswith(mark) for line in lines):
                    return True
        return False

    def load_lab(self, path: Path | str | None = None) -> LabFile:
        """The lab: the file given, else the one kept in this folder, else ``$SDL_LAB``, else the shipped one."""
        if path is not None:
            return load_lab(path)
        if self.lab_file.exists():
            return load_lab(self.lab_file)
        return load_lab(os.environ.get("SDL_LAB") or default_lab_path())


def _started(pid: int) -> float | None:
    """Start time of a process in clock ticks since the machine's boot; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return float(text.rsplit(")", 1)[1].split()[19])


def _is_service(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        dead = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return False
    return not dead and (b"sdl_bluesky" in command or b"ioc_sims" in command)


def own_start() -> float:
    """Start time of this process, as `ServiceInfo.started` keeps it."""
    started = _started(os.getpid())
    if started is None:
        raise ServiceError("this system has no /proc: services need Linux")
    return started


def find_home(path: Path | str | None = None, lab: LabFile | None = None) -> Home:
    """The data folder: the one given, else ``$SDL_HOME``, else a folder of the user's named after the lab."""
    if path is not None:
        return Home(Path(path).resolve())
    if os.environ.get("SDL_HOME"):
        return Home(Path(os.environ["SDL_HOME"]).resolve())
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    name = lab.name if lab is not None else load_lab(os.environ.get("SDL_LAB")).name
    return Home(base / "sdl_bluesky" / name)
