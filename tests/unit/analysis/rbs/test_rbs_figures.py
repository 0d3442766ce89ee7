import numpy as np

from sdl_bluesky.analysis.rbs.figures import points_figure, spectrum_figure

PNG = b"\x89PNG\r\n\x1a\n"


def test_figures_are_pictures_also_of_odd_data():
    energy = np.arange(64) * 2.0
    counts = np.random.default_rng(0).poisson(30.0, 64).astype(float)
    fit = np.full(64, 30.0)
    plain = spectrum_figure(energy, counts, fit, "plain")
    marked = spectrum_figure(energy, counts, fit, "marked", region=(10, 50), edges_keV={"Cu": 60.0})
    assert plain.startswith(PNG)
    assert marked.startswith(PNG)
    assert plain != marked
    assert spectrum_figure(energy, 0 * counts, 0 * fit, "empty", region=(0, 0)).startswith(PNG)
    for count in (1, 2, 3):
        share = np.full((4, count), 1.0 / count)
        assert points_figure(("Cu", "Sn", "Ni")[:count], share, 0 * share, share, 0 * share, "f").startswith(PNG)
