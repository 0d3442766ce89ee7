"""The part of a report about a film that was measured by backscattering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.kinds import RBS
from sdl_bluesky.analysis.rbs.figures import points_figure, spectrum_figure
from sdl_bluesky.analysis.rbs.residual import surface_edge_keV
from sdl_bluesky.data.analysis import Analysis, latest_analysis
from sdl_bluesky.demo import page
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.physics.rbs.setup import Setup

if TYPE_CHECKING:
    from tiled.client.container import Container

TITLE = "Composition check by RBS"


def measured_film(client: Container, campaign: str) -> str:
    """The section, as HTML; nothing where no film of the campaign was measured."""
    try:
        found = latest_analysis(client, RBS, campaign=campaign)
    except CatalogueError:
        return ""
    elements = [str(k) for k in found.metadata["elements"]]
    parts = [f"<h2>{TITLE}</h2>", _spectrum(found)]
    if "map_fraction" in found.arrays:
        a = found.arrays
        title = f"Film {found.metadata.get('sample', '')}"
        figure = points_figure(elements, a["fraction"], a["fraction_std"], a["map_fraction"], a["map_std"], title)
        parts.append(page.image(figure, f"{title}: measured against the map"))
    parts += [_words(found), _table(found, elements), page.notes(found.metadata.get("findings", ()))]
    return "".join(parts)


def _spectrum(found: Analysis) -> str:
    """The spectrum nearest to the middle of the wafer."""
    a, about = found.arrays, found.metadata
    i = int(np.argmin(np.hypot(a["x"], a["y"])))
    title = f"Point {i + 1} at ({a['x'][i]:.0f}, {a['y'][i]:.0f}) mm"
    region = [int(k) for k in about["parameters"]["region"][0]]
    figure = spectrum_figure(
        a["energy"], a["spectrum"][i], a["fit"][i], title, region=(region[0], region[1]), edges_keV=_edges(about)
    )
    return page.image(figure, f"{title}: spectrum, fit and residuals")


def _edges(about: dict[str, Any]) -> dict[str, float]:
    case = about["setup"]
    substrate = dict.fromkeys(name for layer in case["substrate"] for name in layer)
    setup = Setup.from_case(case, list(dict.fromkeys([*about["elements"], *substrate])))
    return {name: surface_edge_keV(setup, name) for name in setup.elements}


def _words(found: Analysis) -> str:
    checks = found.metadata.get("checks", {})
    accepted = int(np.sum(found.arrays["accepted"]))
    words = f"{accepted} of {len(found.arrays['x'])} fits accepted. Errors are one standard deviation"
    words += "; those of the areal densities are largely common to all points (charge, solid angle)."
    if "map_rms_percent" in checks:
        words += (
            f" Measured against the map: {checks['map_rms_percent']:.2f} at. % (rms), {checks['map_rms_sigma']:.1f} of"
        )
        words += f" the errors of both; the largest difference is {checks['map_worst_sigma']:+.1f} of them."
    return f"<p>{page.text(words + _network(found))}</p>"


def _network(found: Analysis) -> str:
    """What a network had to do with it; nothing without one."""
    about, a = found.metadata.get("network"), found.arrays
    if not isinstance(about, dict) or "network_fraction" not in a:
        return ""
    off = 100.0 * float(np.sqrt(np.mean((a["network_fraction"] - a["fraction"]) ** 2)))
    return (
        f" The fits began where the network {about['name']} pointed; by itself it is off them by {off:.2f} at. % (rms)."
        f" Strangeness of the spectra: {a['strangeness'].max():+.1f} standard deviations at most."
    )


def _table(found: Analysis, elements: list[str]) -> str:
    a = found.arrays
    shown = range(len(elements) if len(elements) > 2 else 1)
    compared = "map_fraction" in a
    total = a["density"].sum(axis=1)
    total_std = np.sqrt(np.maximum(a["density_cov"].sum(axis=(1, 2)), 0.0))
    head = ["point", "x, mm", "y, mm"]
    for k in shown:
        head += [f"{elements[k]}, at. %", *([f"{elements[k]} in the map", "difference / σ"] if compared else [])]
    head += ["areal density, 10¹⁵ at/cm²", "probability of a worse fit"]
    rows = []
    for i in range(len(total)):
        row = [str(i + 1), f"{a['x'][i]:.1f}", f"{a['y'][i]:.1f}"]
        for k in shown:
            row.append(f"{100 * a['fraction'][i, k]:.2f} ± {100 * a['fraction_std'][i, k]:.2f}")
            if compared:
                error = float(np.hypot(a["fraction_std"][i, k], a["map_std"][i, k]))
                row.append(f"{100 * a['map_fraction'][i, k]:.2f} ± {100 * a['map_std'][i, k]:.2f}")
                row.append(f"{(a['fraction'][i, k] - a['map_fraction'][i, k]) / error:+.1f}" if error > 0 else "–")
        row += [f"{total[i]:.1f} ± {total_std[i]:.1f}", page.number(float(a["p_value"][i]), 2)]
        rows.append(row)
    return page.table(head, rows)
