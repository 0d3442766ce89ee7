"""The report of a growth campaign: one HTML file that needs nothing else, made from the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.layers.figures import flows_figure, maps_figure, runs_figure, scans_figure, spectra_figure
from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import find_run, read_last
from sdl_bluesky.demo import page
from sdl_bluesky.demo.growth_figures import knowledge, naive_comparison, residuals
from sdl_bluesky.demo.report_others import others_section
from sdl_bluesky.physics.alloys import INP_LATTICE
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.growth.recall import earlier_rows, recall_growth
from sdl_bluesky.plans.history import History

if TYPE_CHECKING:
    from tiled.client.container import Container


def write_growth_report(path: Path, summary: Mapping[str, Any], client: Container, campaign: str) -> Path:
    """Write the report of a growth campaign.

    Args:
        path: of the HTML file.
        summary: what ``summary.json`` holds.
        client: root of the catalogue.
        campaign: id of the campaign.

    Raises:
        CatalogueError: there is no such campaign.
    """
    spec, history = recall_growth(client, campaign)
    start = start_of(find_run(client, campaign))
    when = datetime.fromtimestamp(start["time"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        f"<h1>{page.text(spec.name)}</h1><p class='sub'>{page.text(spec.goal)} · {when}</p>",
        _targets(spec, summary),
        _runs(spec, history),
        _layers(client, spec, history),
        _knowledge(spec, history),
        others_section(spec, history, earlier_rows(client, spec.grow.earlier)),
        _decisions(history),
    ]
    body = "".join(parts)
    title = page.text(f"Growth campaign {spec.name}")
    html = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{page.STYLE}</style>{body}"
    path.write_text(html, encoding="utf-8")
    return path


def _targets(spec: GrowthFile, summary: Mapping[str, Any]) -> str:
    found = summary["mocvd"]["targets"]
    rows = []
    for target in spec.grow.targets:
        one = found.get(target.stage.removeprefix("grow:"), {})
        truth = one.get("truth") or {}
        cells = [
            one.get("wavelength"),
            one.get("mismatch_percent"),
            truth.get("wavelength"),
            truth.get("mismatch_percent"),
        ]
        name = f"{target.wavelength:g} nm, {target.lattice:g} Å"
        rows.append([name, page.number(one.get("runs")), *(page.number(k, 5) for k in cells)])
    head = ["target", "runs", "measured / nm", "mismatch / %", "in truth / nm", "mismatch / %"]
    return f"<h2>Targets</h2>{page.table(head, rows)}"


def _runs(spec: GrowthFile, history: History) -> str:
    steps = [s for s in history.steps if s.outcome != "aborted"]
    columns = {name: np.full(len(steps), np.nan) for name in ("wavelength", "wavelength_std", "lattice", "lattice_std")}
    for k, step in enumerate(steps):
        for name in columns if step.outcome == "success" and step.row else ():
            columns[name][k] = float((step.row or {}).get(name, math.nan))
    bands = []
    for target in spec.grow.targets:
        own = [k for k, s in enumerate(steps, 1) if s.stage == target.stage]
        if own:
            tolerances = target.wavelength_tolerance, target.mismatch_tolerance
            bands.append((own[0], own[-1], target.wavelength, *tolerances))
    mismatch = 100.0 * (columns["lattice"] / INP_LATTICE - 1.0)
    image = runs_figure(
        columns["wavelength"], columns["wavelength_std"], mismatch, 100.0 * columns["lattice_std"] / INP_LATTICE, bands
    )
    return f"<h2>Runs</h2>{page.image(image, 'wavelength and mismatch against the run')}"


def _layers(client: Container, spec: GrowthFile, history: History) -> str:
    """Light and diffraction of the first layer and of the last one of each target."""
    chosen = [s for s in history.of("preliminary") if s.outcome == "success"][:1]
    for target in spec.grow.targets:
        chosen += [s for s in history.of(target.stage) if s.outcome == "success"][-1:]
    maps, spectra, scans = {}, {}, {}
    for step in chosen:
        data, name = read_last(find_run(client, step.uid)), f"run {step.step}, {step.stage.removeprefix('grow:')}"
        maps[name] = (np.asarray(data["pl_axis"], float), np.asarray(data["pl_map"], float))
        spectra[name] = (np.asarray(data["pl_wavelength"], float), np.asarray(data["pl_spectrum"], float))
        scans[name] = (np.asarray(data["xrd_two_theta"], float), np.asarray(data["xrd_counts"], float))
    if not chosen:
        return ""
    images = (
        page.image(maps_figure(maps), "PL maps"),
        page.image(spectra_figure(spectra), "PL spectra"),
        page.image(scans_figure(scans), "XRD patterns"),
    )
    return f"<h2>Light and diffraction</h2>{''.join(images)}"


def _knowledge(spec: GrowthFile, history: History) -> str:
    parts = []
    for target in spec.grow.targets:
        seen = knowledge(spec, history, target)
        if seen is None:
            continue
        axes, panels, grown, following, words = seen
        image = flows_figure(axes, panels, grown, following, f"Before the first run for {target.wavelength:g} nm")
        parts.append(f"{page.image(image, 'acquisition and compositions')}<p>{page.text(words)}</p>")
    if not parts:
        return ""
    axes, panels, grown, words = residuals(spec, history)
    image = page.image(flows_figure(axes, panels, grown, None, "What a line in the own flow leaves"), "residuals")
    compared = page.text(naive_comparison(spec, history))
    trend = f"<h2>The hidden trend</h2>{image}<p>{page.text(words)}</p><p>{compared}</p>"
    return f"<h2>What was known</h2>{''.join(parts)}{trend}"


def _decisions(history: History) -> str:
    rows = [
        [
            f"<code>{page.text(s.uid or '–')}</code>",
            page.text(s.step),
            page.text(s.stage),
            ", ".join(f"{k} {v:.3f}" for k, v in s.inputs.items()),
            page.text(s.outcome),
        ]
        for s in history.steps
    ]
    return f"<h2>Where it comes from</h2>{page.table(['run', 'step', 'stage', 'flows', 'outcome'], rows)}"
