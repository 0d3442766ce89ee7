"""Studies that measure this program: speed, accuracy, calibration. `sdl bench NAME --json FILE` runs one.

A study is a module with ``run(seeds, quick, tell) -> rows``: `seeds` the number of repetitions, `quick` a small
version, `tell` a function for lines of text; each row is a mapping with "method", "case" and its figures. Without a
number asked for, `seeds` is the study's constant ``SEEDS``, or None if it has none. A study may have
``draw(seeds, quick, tell) -> {file name: PNG}`` for its figures.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

from sdl_bluesky.errors import OutOfRange, UnknownName

BENCHES: Mapping[str, str] = {
    "balm": "sdl_bluesky.bench.balm",
    "flux": "sdl_bluesky.bench.flux",
    "pibo": "sdl_bluesky.bench.pibo",
    "rbs-forward": "sdl_bluesky.bench.rbs_forward",
    "rbs-fit": "sdl_bluesky.bench.rbs_fit",
    "rbs-mdn": "sdl_bluesky.bench.rbs_mdn",
    "rbs-mdn-paper": "sdl_bluesky.bench.rbs_mdn_paper",
    "health": "sdl_bluesky.bench.health",
    "reactive": "sdl_bluesky.bench.reactive",
    "campaign": "sdl_bluesky.bench.campaign",
    "data": "sdl_bluesky.bench.data",
    "kills": "sdl_bluesky.bench.kills",
}
"""The module of each study."""
WITH_FIGURES = ("balm", "rbs-mdn")


def run(
    name: str,
    json_file: Path | None = None,
    seeds: int | None = None,
    quick: bool = False,
    figures: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> int:
    """Run a study, show its rows and write them.

    Args:
        name: one of `BENCHES`.
        json_file: {"bench", "machine", "seeds", "quick", "rows"} goes here; its folder is made.
        seeds: number of repetitions; the study's own without it.
        quick: a small version of the study.
        figures: its figures go into this folder, which is made.
        tell: called with lines of text.

    Returns:
        0; a study that cannot be done raises.

    Raises:
        UnknownName: there is no such study, or it has no figures though they are asked for.
        OutOfRange: fewer than one seed.
    """
    from sdl_bluesky.bench.machine import describe_machine
    from sdl_bluesky.bench.rows import show_rows, write_rows

    if name not in BENCHES:
        raise UnknownName("study", name, list(BENCHES))
    if seeds is not None and seeds < 1:
        raise OutOfRange(f"a study needs one seed or more, not {seeds}")
    study = importlib.import_module(BENCHES[name])
    draw = getattr(study, "draw", None)
    if figures is not None and draw is None:
        raise UnknownName("study with figures", name, WITH_FIGURES)
    count = getattr(study, "SEEDS", None) if seeds is None else seeds
    machine = describe_machine()
    tell(f"{name} on {machine['cpu']}, {machine['threads']} thread(s)")
    rows = [dict(row) for row in study.run(count, quick, tell)]
    show_rows(name, rows)
    if json_file is not None:
        write_rows(json_file, {"bench": name, "machine": machine, "seeds": count, "quick": quick}, rows)
        tell(f"{len(rows)} rows in {json_file}")
    if figures is not None and draw is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for file, data in draw(count, quick, tell).items():
            (figures / file).write_bytes(data)
            tell(f"{figures / file}")
    return 0
