"""All demonstrations at once: a lab each, in a process and a folder of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdl_bluesky.demo import page
from sdl_bluesky.demo.sputter import MARK
from sdl_bluesky.errors import ServiceError
from sdl_bluesky.session.home import Home

LABS = ("sputter", "rbs", "mocvd")
PATIENCE_S = 60.0
Command = Callable[[str, Path], Sequence[str]]


def run_all(
    out: Path, speed: float | None, seed: int, tell: Callable[[str], None], command: Command | None = None
) -> dict[str, Any]:
    """Run every demonstration, each in its part of the folder, and put their summaries together.

    Args:
        out: folder; an earlier demonstration in it is replaced.
        speed: simulated seconds per second; None: what each takes by itself.
        seed: of twins and agents.
        tell: called with the lines of all of them, each with its name in front.
        command: the command of a lab and its folder; by default `sdl demo`.

    Returns:
        The summary, as in ``summary.json``: sources and composition of the lab that was measured by RBS, and the layers.

    Raises:
        ServiceError: the folder holds other things, services run in it, or a demonstration failed (the others end first).
    """
    _clear(out)
    command = command or _sdl_demo(speed, seed)
    labs = {name: _start(command(name, out / name), name, tell) for name in LABS}
    try:
        failed = [name for name, (process, reader) in labs.items() if _end(process, reader)]
    except BaseException:  # Ctrl-C reaches them too, and they make their machines safe
        for process, _ in labs.values():
            process.terminate()
        for process, reader in labs.values():
            process.wait(PATIENCE_S)
            reader.join()
        raise
    if failed:
        raise ServiceError(f"the demonstration of {', '.join(failed)} failed: what it said stands above")
    summary = _merged({name: json.loads((out / name / "summary.json").read_text(encoding="utf-8")) for name in LABS})
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    links = "".join(f'<li><a href="{name}/report.html">{name}</a></li>' for name in LABS)
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Demonstrations</title><style>{page.STYLE}</style>"
    (out / "report.html").write_text(f"{head}<h1>Three laboratories</h1><ul>{links}</ul>\n", encoding="utf-8")
    return summary


def _clear(out: Path) -> None:
    for folder in (out, *(out / name for name in LABS)):
        running = Home(folder.resolve()).services() if folder.exists() else None
        if running is not None:
            raise ServiceError(f"process {running.pid} uses {folder}: end it, or choose another folder with --out")
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise ServiceError(f"{out} holds other files: choose an empty folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("made by `sdl demo`; the next one in this folder replaces it\n")


def _sdl_demo(speed: float | None, seed: int) -> Command:
    more = [] if speed is None else ["--speed", f"{speed:g}"]

    def command(name: str, folder: Path) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "sdl_bluesky.cli", "demo", name, "--out", str(folder)),
            *("--seed", str(seed), *more),
        ]

    return command


def _start(
    command: Sequence[str], name: str, tell: Callable[[str], None]
) -> tuple[subprocess.Popen[str], threading.Thread]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            tell(f"{name:8s} {line.rstrip()}")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return process, reader


def _end(process: subprocess.Popen[str], reader: threading.Thread) -> int:
    status = process.wait()
    reader.join()
    return status


def _merged(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    measured = found["rbs"]
    return {
        **{
            key: measured[key]
            for key in ("schema", "seed", "campaign", "sources", "composition", "rbs")
            if key in measured
        },
        "mocvd": found["mocvd"]["mocvd"],
        "labs": {name: str(summary["campaign"]) for name, summary in found.items()},
    }
