"""Profiles of chi2 as printed: Muzakka et al., Tables 2, 3, 4 and 6 (2000 spectra of each set; SIMNRA as the model).

Pass rates are as the text gives them; nu of its B is 1310 because of a second region of interest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PERCENTILES = (5, 10, 25, 50, 75, 90, 95)


def _row(method: str, nu: int, passed: float | None, *figures: float) -> dict[str, Any]:
    names = [*(f"p{k}" for k in PERCENTILES), "mean", "sd"]
    return {
        "method": f"paper: {method}",
        "spectra": 2000,
        "nu": nu,
        "pass": passed,
        **dict(zip(names, figures, strict=True)),
    }


PAPER: Mapping[str, list[dict[str, Any]]] = {
    "A": [
        _row("Autofit", 700, None, 626, 640, 667, 707, 1360, 6083, 15380, 5640, 28309),
        _row("MDN, 50k", 700, 0.75, 639, 654, 680, 720, 786, 1213, 2422, 949, 1058),
        _row("MDN, 100k", 700, None, 636, 651, 677, 712, 765, 995, 1660, 868, 639),
        _row("MDN, 50k, then Autofit", 700, 0.95, 619, 630, 652, 678, 705, 733, 753, 695, 187),
        _row("ideal chi2", 700, 0.95, 640, 652, 674, 699, 725, 748, 763, 700, 37),
    ],
    "B": [
        _row("Autofit", 1310, 0.90, 1004, 1048, 1114, 1199, 1283, 1358, 1478, 19735, 109886),
        _row("MDN, 50k", 1310, 0.75, 1097, 1140, 1214, 1302, 1391, 1523, 1651, 1343, 536),
        _row("MDN, 100k", 1310, 0.75, 1091, 1131, 1208, 1293, 1389, 1509, 1630, 1325, 236),
        _row("MDN, 50k, then Autofit", 1310, 0.95, 988, 1035, 1111, 1190, 1272, 1328, 1361, 1187, 115),
        _row("ideal chi2", 1310, 0.95, 1227, 1245, 1275, 1309, 1344, 1376, 1395, 1310, 51),
    ],
    "C": [
        _row("Autofit", 2200, 0.0, 2620, 2770, 3070, 3620, 4710, 7380, 12500, 7230, 77600),
        _row("MDN, 50k", 2200, 0.0, 6430, 7840, 13500, 26700, 57600, 111000, 164000, 48800, 65800),
        _row("MDN, 100k", 2200, 0.0, 4350, 5120, 8280, 18700, 42000, 88000, 132000, 36500, 53200),
        _row("MDN, 50k, then Autofit", 2200, 0.10, 2260, 2311, 2433, 2627, 2987, 3758, 4880, 3051, 2015),
        _row("ideal chi2", 2200, 0.95, 2092, 2115, 2155, 2199, 2244, 2285, 2310, 2200, 66),
    ],
}
