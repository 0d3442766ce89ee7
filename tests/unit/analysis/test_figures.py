import subprocess
import sys

import numpy as np

from sdl_bluesky.analysis.figures import _labels, composition_figure, learning_curve_figure, rate_surface_figure

PNG = b"\x89PNG\r\n\x1a\n"


def test_figures_are_pictures_also_of_odd_data():
    x, y = np.linspace(10, 100, 5), np.linspace(2, 20, 4)
    z = np.outer(1 + y, x)
    points = [(10.0, 4.0), (100.0, 20.0), (100.2, 19.9)]
    assert rate_surface_figure(x, y, z, 0.02 * z, "cu", points, [(12.0, 3.0)]).startswith(PNG)
    assert rate_surface_figure(x, y, 0 * z + 1, 0 * z + 0.1, "flat").startswith(PNG)
    curve = ([1, 2, 3], [np.nan, 5.0, 2.0], [np.nan, 0.0, 1.0])
    assert learning_curve_figure({"cu": curve}, "%", "t").startswith(PNG)
    assert learning_curve_figure({"cu": ([1], [np.nan], [np.nan])}, "%", "t").startswith(PNG)
    assert learning_curve_figure({}, "%", "t").startswith(PNG)
    for count in (1, 2, 3):
        fraction = np.full((count, 4, 5), 1.0 / count)
        names = ("Cu", "Sn", "Ni")[:count]
        plain = composition_figure(names, fraction, 0.01 * fraction, x, y, "film")
        checked = composition_figure(names, fraction, 0.01 * fraction, x, y, "film", {(50.0, 10.0): {"Cu": 0.4}})
        assert plain.startswith(PNG)
        assert checked.startswith(PNG)
        assert checked != plain


def test_points_of_one_place_share_a_label():
    labels = _labels([(10.0, 4.0), (100.0, 20.0), (55.0, 12.0), (99.8, 19.8)], 90.0, 18.0)
    assert labels == {"1": (10.0, 4.0), "2, 4": (100.0, 20.0), "3": (55.0, 12.0)}


def test_no_global_state_of_matplotlib_is_touched():
    code = (
        "import sys, sdl_bluesky.analysis.figures as f; "
        "f.learning_curve_figure({}, 'y', 't'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
