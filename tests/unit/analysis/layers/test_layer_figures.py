"""Figures of layers are pictures also of odd data."""

import numpy as np

from sdl_bluesky.analysis.layers.figures import maps_figure, runs_figure, scans_figure, spectra_figure

PNG = b"\x89PNG"


def test_figures_are_pictures_also_of_odd_data():
    axis = np.linspace(-24.0, 24.0, 5)
    seen = 1180.0 - 0.01 * np.add.outer(axis**2, axis**2)
    seen[0, 0] = np.nan
    made = [
        maps_figure({"run 1": (axis, seen), "run 2": (axis, np.full((5, 5), np.nan))}),
        spectra_figure({"run 1": (np.array([1100.0, 1200.0]), np.zeros(2))}),
        scans_figure({"run 1": (np.array([63.0, 63.1]), np.array([0.0, 1e5]))}),
        runs_figure([1180.0, np.nan], [1.0, np.nan], [0.0, np.nan], [0.01, np.nan], [(1, 2, 1180.0, 10.0, 0.05)]),
    ]
    assert all(k.startswith(PNG) for k in made)
