"""What is written for a spectrum that a network has seen, and perhaps a fit after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.inference.rbs_fit.goodness import excess
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.route import STRANGE, Answer
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array

QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
SUSPECT = ("name", "sigma", "amount")


def entries_of_answer(model: Model, found: Answer, elements: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Entries of spectra that were fitted from the network's values; fractions and densities are the fit's."""
    fit, system = found.fit, model.system
    amounts: list[Mapping[str, Any]] = [{}] * len(fit.chi2)
    if elements:
        share, (density, spread) = rbs_fit.composition(fit, elements=elements), rbs_fit.total(fit, elements=elements)
        amounts = _amounts(elements, share.fraction, share.std, density, spread)
    return [
        {
            "posterior": posterior,
            "layers": _layers(system, fit.layers[k]),
            "layers_std": _layers(system, fit.layers_std[k]),
            "nuisance": dict(zip(fit.nuisance_names, _plain(fit.nuisance[k]), strict=True)),
            **amounts[k],
            "chi2": _plain(fit.chi2[k]),
            "nu": int(fit.nu),
            "accepted": bool(found.accepted[k]),
            "strangeness": _plain(found.strangeness[k]),
            "suspects": [dict(zip(SUSPECT, one, strict=True)) for one in found.suspects.most(k)],
            "distance": _plain(found.distance[k]),
            "reasons": list(found.reasons[k]),
            "findings": list(fit.findings[k]),
            "model": _name(system),
        }
        for k, posterior in enumerate(_posteriors(found.posterior))
    ]


def entries_of_network(
    model: Model, counts: Array, fluence: Array, elements: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Entries of spectra [b, channel] by the network alone; its most probable values are simulated and compared.

    Args:
        model: of their material system.
        counts: [b, channel].
        fluence: factor on that of the model's set-up [b].
        elements: whose fractions are told, in the layers whose densities are not known.

    Raises:
        OutOfRange: see `Model.predict`.
    """
    system, d = model.system, model.system.densities
    posterior = model.predict(counts, fluence)
    best, expected = posterior.best, system.spectra(posterior.modes[:, 0], fluence)[:, system.channels]
    seen = counts[:, system.channels]
    chi2, limit = rbs_fit.paper_chi2(seen, expected), rbs_fit.chi2_limit(len(system.channels))
    strange = excess(rbs_fit.deviance(seen, expected), expected)
    layers, spread = system.fill(best[:, :d]), np.zeros((len(counts), *system.free.shape))
    spread[:, system.free] = posterior.std[:, :d]
    amounts: list[Mapping[str, Any]] = [{}] * len(counts)
    if elements:
        places = np.flatnonzero(system.free.any(axis=1)).tolist()
        share, whole = posterior.composition(elements, places), posterior.total(elements, places)
        amounts = _amounts(elements, share.mean, share.std, whole.mean[:, 0], whole.std[:, 0])
    reasons = [_reasons(float(chi2[k]), limit, float(strange[k])) for k in range(len(counts))]
    return [
        {
            "posterior": one,
            "layers": _layers(system, layers[k]),
            "layers_std": _layers(system, spread[k]),
            "nuisance": dict(zip(system.nuisance, _plain(best[k, d:]), strict=True)),
            **amounts[k],
            "chi2": _plain(chi2[k]),
            "nu": len(system.channels),
            "accepted": not reasons[k],
            "strangeness": _plain(strange[k]),
            "suspects": [],
            "distance": None,
            "reasons": reasons[k],
            "findings": [],
            "model": _name(system),
        }
        for k, one in enumerate(_posteriors(posterior))
    ]


def _reasons(chi2: float, limit: float, strange: float) -> list[str]:
    """Why the values of the network alone are not to be believed."""
    if chi2 < limit and strange <= STRANGE:
        return []
    what = f"chi2 {chi2:.0f}, limit {limit:.0f}; deviance {strange:.1f} standard deviations over what counting gives"
    return [f"the network's values do not describe the spectrum ({what}): let a fit follow (without --no-fit)"]


def _posteriors(posterior: Posterior) -> Iterator[dict[str, dict[str, float | None]]]:
    columns = {"mean": posterior.mean, "std": posterior.std}
    quantiles = posterior.quantiles(list(QUANTILES.values()))
    columns |= {name: quantiles[:, :, k] for k, name in enumerate(QUANTILES)}
    table = np.stack(list(columns.values()), axis=2)
    for row in table:
        values = _plain(row)
        yield {name: dict(zip(columns, one, strict=True)) for name, one in zip(posterior.names, values, strict=True)}


def _amounts(
    elements: Sequence[str], share: Array, share_std: Array, density: Array, density_std: Array
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for k in range(len(share)):
        pairs = zip(elements, _plain(share[k]), _plain(share_std[k]), strict=True)
        fractions = {name: {"fraction": value, "std": std} for name, value, std in pairs}
        whole = {"value": _plain(density[k]), "std": _plain(density_std[k])}
        found.append({"composition": fractions, "areal_density": whole})
    return found


def _layers(system: MaterialSystem, values: Array) -> list[dict[str, float | None]]:
    """[layer, element] as a list of {element: value}, what the system names."""
    rows = []
    for layer, row in zip(system.layers, _plain(values), strict=True):
        numbers = dict(zip(system.setup.elements, row, strict=True))
        rows.append({name: numbers[name] for name in layer})
    return rows


def _name(system: MaterialSystem) -> dict[str, str]:
    return {"name": system.name, "digest": system.digest}


def _plain(values: Any) -> Any:
    """Numbers as plain ones, None where one is not finite."""
    array = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(array)):
        return np.where(np.isfinite(array), array, np.array(None)).tolist()
    return array.tolist()
