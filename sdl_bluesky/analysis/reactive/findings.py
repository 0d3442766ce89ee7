"""What a person should look at in a reactive run, each finding with its name first."""

from __future__ import annotations

import numpy as np

from sdl_bluesky.analysis.reactive.actinometry import EmissionRows
from sdl_bluesky.physics.geometry import Array

METALLIC, TRANSITION, POISONED = BRANCHES = ("metallic", "transition", "poisoned")


def row_findings(
    rows: EmissionRows, limit: float, mean: Array, light: Array, light_std: Array, found: Array, factor: Array
) -> list[str]:
    """Texts for jumps, hysteresis, poisoned rows, and rows in which light and crystals exclude each other.

    Args:
        rows: of the sweep [n].
        limit: mass of gas over metal in the stoichiometric oxide.
        mean: rates without gas at the sensors [q].
        light, light_std: ln r by the light alone [n].
        found: probability of each branch [n, 3].
        factor: metal over that without gas [n].
    """
    texts: list[str] = []
    state = [BRANCHES[k] for k in np.argmax(found, axis=1)]
    flow = rows.oxygen_sccm
    for k in range(1, len(rows)):
        if {state[k - 1], state[k]} == {METALLIC, POISONED}:
            texts.append(
                f"jump: {state[k - 1]} to {state[k]} between {flow[k - 1]:.3g} and {flow[k]:.3g} sccm of oxygen"
            )
    turn = int(np.argmax(flow))
    for k in range(turn):
        again = [j for j in range(turn + 1, len(rows)) if abs(flow[j] - flow[k]) < 0.02 * flow[turn]]
        if again and abs(np.log(factor[k] / factor[again[0]])) > 0.2:
            texts.append(
                f"hysteresis: at {flow[k]:.3g} sccm the metal rate is {100 * factor[k]:.0f} % of that without oxygen with "
                f"rising and {100 * factor[again[0]]:.0f} % with falling flow"
            )
    for k, name in enumerate(state):
        if name == POISONED:
            texts.append(f"poisoned: row {k}, {flow[k]:.3g} sccm, probability {found[k, 2]:.2f}")
    for k in range(len(rows)):
        ratio = rows.rate[k][np.isfinite(rows.rate[k])] / mean[np.isfinite(rows.rate[k])]
        if not ratio.size:
            texts.append(f"unweighed: row {k} has no rate of any sensor: the light alone speaks")
            continue
        low, high = (
            np.log(max(float(np.median(ratio)), 1e-3) / (1.0 + limit)),
            np.log(max(float(np.median(ratio)), 1e-3)),
        )
        beyond = max(low - light[k], light[k] - high) / np.hypot(light_std[k], 0.01)
        if beyond > 3.0:
            texts.append(
                f"disagreement: row {k}, {flow[k]:.3g} sccm: by the light the metal rate is {100 * np.exp(light[k]):.0f} % "
                f"of that without oxygen, by the crystals {100 * np.exp(low):.0f} to {100 * np.exp(high):.0f} %: another "
                "line beside the metal's, a window that clouds, a crystal that drifts, or another compound"
            )
    return texts
