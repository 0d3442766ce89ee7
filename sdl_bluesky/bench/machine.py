"""On what a study ran: without it a time means nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sdl_bluesky import __version__

PACKAGES = ("numpy", "scipy", "numba", "torch", "pyrump")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, threads that numerical code may use, system, Python and versions of packages."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": _threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"sdl_bluesky": __version__, **_versions()},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _threads() -> int:
    """Threads of numba's parallel loops."""
    try:
        import numba
    except ImportError:
        return 1
    return int(numba.get_num_threads())


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
