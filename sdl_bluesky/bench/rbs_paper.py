"""What is printed of the published network: Muzakka et al., Tables 1 to 6 and text (2000 spectra of each set; SIMNRA).

Profiles of chi2 are those of Tables 2, 3, 4 and 6. Pass rates are as the text gives them; nu of its B is 1310 because of a
second region of interest. Its times are those of a processor with 64 cores and 120 threads, and of a GPU (RTX A-4000).
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
        _row("MDN, 10k", 700, None, 667, 686, 725, 801, 1066, 2722, 3972, 1308, 1720),
        _row("MDN, 50k", 700, 0.75, 639, 654, 680, 720, 786, 1213, 2422, 949, 1058),
        _row("MDN, 100k", 700, None, 636, 651, 677, 712, 765, 995, 1660, 868, 639),
        _row("MDN, 50k, then Autofit", 700, 0.95, 619, 630, 652, 678, 705, 733, 753, 695, 187),
        _row("ideal chi2", 700, 0.95, 640, 652, 674, 699, 725, 748, 763, 700, 37),
    ],
    "B": [
        _row("Autofit", 1310, 0.90, 1004, 1048, 1114, 1199, 1283, 1358, 1478, 19735, 109886),
        _row("MDN, 10k", 1310, None, 1553, 1671, 1967, 2486, 3626, 5214, 7233, 3250, 2585),
        _row("MDN, 50k", 1310, 0.75, 1097, 1140, 1214, 1302, 1391, 1523, 1651, 1343, 536),
        _row("MDN, 100k", 1310, 0.75, 1091, 1131, 1208, 1293, 1389, 1509, 1630, 1325, 236),
        _row("MDN, 50k, then Autofit", 1310, 0.95, 988, 1035, 1111, 1190, 1272, 1328, 1361, 1187, 115),
        _row("ideal chi2", 1310, 0.95, 1227, 1245, 1275, 1309, 1344, 1376, 1395, 1310, 51),
    ],
    "C": [
        _row("Autofit", 2200, 0.0, 2620, 2770, 3070, 3620, 4710, 7380, 12500, 7230, 77600),
        _row("MDN, 10k", 2200, 0.0, 17100, 22600, 35400, 68400, 132000, 248000, 344000, 115000, 169000),
        _row("MDN, 50k", 2200, 0.0, 6430, 7840, 13500, 26700, 57600, 111000, 164000, 48800, 65800),
        _row("MDN, 100k", 2200, 0.0, 4350, 5120, 8280, 18700, 42000, 88000, 132000, 36500, 53200),
        _row("MDN, 50k, then Autofit", 2200, 0.10, 2260, 2311, 2433, 2627, 2987, 3758, 4880, 3051, 2015),
        _row("ideal chi2", 2200, 0.95, 2092, 2115, 2155, 2199, 2244, 2285, 2310, 2200, 66),
    ],
}

TABLE_1: Mapping[str, Mapping[str, float]] = {
    "A": {"drawing_h": 0.1, "training_h": 0.5, "autofit_h": 1.5, "hybrid_h": 1.0},
    "B": {"drawing_h": 0.5, "training_h": 0.75, "autofit_h": 15.0, "hybrid_h": 5.0},
    "C": {"drawing_h": 0.5, "training_h": 0.75, "autofit_h": 30.0, "hybrid_h": 9.0},
}
"""Hours: 103,000 spectra, a training with 50,000, 2000 fits, 2000 fits from the network."""
TABLE_5: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "A": {"W@1": (0.330, 0.0046), "D@1": (0.272, 0.0087)},
    "B": {"Ni@1": (0.251, 0.0095), "F@3": (0.208, 0.0306)},
    "C": {"La@1": (0.261, 0.0127), "H@1": (0.162, 0.4016)},
}
"""Coverage score and median relative error of the best and the worst density, 50,000 spectra to learn from."""
LEARNING: Mapping[str, Mapping[int, float]] = {"A": {10_000: 0.02, 50_000: 0.008}, "B": {30_000: 0.05, 50_000: 0.03}}
"""Median relative error by the number of spectra to learn from, as the text has it: about, or at most, of all densities."""
