"""What the commands tell the person at the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl_bluesky.plans.history import Step


def say(text: str = "") -> None:
    """A line for the person at the terminal."""
    print(text, flush=True)


def warn(text: str) -> None:
    """A line about a fault, apart from the results."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """A line for each finished step of a campaign, with the time it took."""

    def __init__(self) -> None:
        self._last: float | None = None

    def __call__(self, step: Step, stop_reason: str) -> None:
        """Called after each decision."""
        now = time.monotonic()
        took = f"   {now - self._last:4.1f} s" if self._last is not None else ""
        where = "  ".join(f"{name} {value:7.2f}" for name, value in step.inputs.items())
        found = _told(step.row or {}) if step.outcome == "success" else ""
        say(f"{step.step:3d}  {step.stage:10s} {where}  {found or step.outcome}{took}")
        if stop_reason:
            say(f"     {step.stage}: {stop_reason}")
        self._last = now


def _told(row: Mapping[str, Any]) -> str:
    """What an experiment found, in one line."""
    if "rate" in row:
        return f"rate {row['rate']:7.2f} +- {row['rate_std']:.2f} ng cm^-2 s^-1"
    if "lattice" in row:
        return f"{row['wavelength']:7.1f} nm  {row['lattice']:.5f} Angstrom"
    if "probability" in row and "fraction" in row:
        columns = zip(row["elements"], row["fraction"], row["fraction_std"])
        parts = ", ".join(f"{e} {100 * x[0]:.1f} +- {100 * std[0]:.1f} %" for e, x, std in columns)
        return f"{parts}; in tolerance {row['probability']:.2f}"
    if "misfit_probability" in row:
        return "the rates add up" if row["kind"] == "none" else f"neighbours change the {row['kind']}"
    if "accepted" in row:
        return f"{sum(row['accepted'])} of {len(row['accepted'])} points are described by their fits"
    return ""


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of texts."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def show_summary(summary: Mapping[str, Any], out: Path) -> None:
    """The figures of a demonstration, compared with the hidden truth."""
    rows = [
        (name, str(source["experiments"]), "e_rms_percent", f"{source['e_rms_percent']:.2f}")
        for name, source in summary.get("sources", {}).items()
    ]
    parts = {"composition map": "composition", "composition by RBS": "rbs", "wanted composition": "target"}
    for what, part in parts.items():
        figures = summary.get(part) or {}
        rows += [(what, "", key, f"{value:.4g}") for key, value in figures.items() if _is_figure(value)]
    for name, found in summary.get("mocvd", {}).get("targets", {}).items():
        for what, part in (("measured", found), ("in truth", found.get("truth", {}))):
            figures = {key: part[key] for key in ("wavelength", "mismatch_percent") if key in part}
            rows += [(f"{name} nm, {what}", str(found["runs"]), key, f"{value:.5g}") for key, value in figures.items()]
    show_table("compared with the hidden truth", ("what", "experiments", "figure", "value"), rows)
    say(f"summary {out}/summary.json, report {out}/report.html")


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
