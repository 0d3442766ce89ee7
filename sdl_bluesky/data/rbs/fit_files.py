"""Fits of spectra in files: cases of one set-up together, each with its own result or its own reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sdl_bluesky.data.rbs.cases import Case, spread_priors
from sdl_bluesky.data.rbs.fit_input import BOX, FitInput, Starts, box_of, find_spectrum, layer_dicts, prepare
from sdl_bluesky.data.rbs.groups import MOST_AT_ONCE, Outcome, make_folder
from sdl_bluesky.errors import DataFileError, SDLError
from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.inference.rbs_fit import FitResult

Likelihood = Literal["poisson", "chi2"]


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        box: bounds of the free densities [1e15 at/cm2].
        likelihood: "poisson", or the "chi2" of the published data sets with weights 1/(x + 1).
        priors: nuisance parameters that are fitted, with prior standard deviations; those of a case come first.
        restarts: further starts for a fit that is not accepted.
        seed: of the restarts.
    """

    box: tuple[float, float] = BOX
    likelihood: Likelihood = "poisson"
    priors: Mapping[str, float] = field(default_factory=dict)
    restarts: int = 6
    seed: int = 0


def fit_cases(
    cases: Mapping[str, Case],
    folder: Path,
    starts: Starts,
    options: FitOptions,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[dict[str, Any], Outcome]:
    """Fit the spectrum ``folder/name.csv`` (or .txt, .dat, .xnra) of each case.

    Returns:
        name -> what is written for the case (`entry_of`, or {"error"}), in the order of the cases; and what became of them.
    """
    outcome = Outcome()
    inputs: dict[str, FitInput] = {}
    for name, case in cases.items():
        try:
            inputs[name] = prepare(case, find_spectrum(folder, name), starts.of(name, case))
        except SDLError as fault:
            outcome.faults[name] = fault
            advance(1)
    found: dict[str, Any] = {}
    try:
        for names in _groups(inputs, options.box):
            _fit_group(names, inputs, options, found, outcome)
            advance(len(names))
    except KeyboardInterrupt:  # what is fitted by now shall not be lost
        outcome.interrupted = True
        left = SDLError("not fitted: the program was interrupted before")
        outcome.faults |= {name: left for name in inputs if name not in found and name not in outcome.faults}
    for name, fault in outcome.faults.items():
        found[name] = {"error": f"{type(fault).__name__}: {fault}"}
    return {name: found[name] for name in cases}, outcome


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write results as JSON; the file is complete or is not there.

    Raises:
        DataFileError: it cannot be written.
    """
    make_folder(path.parent)
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as fault:
        raise DataFileError(path, f"cannot be written ({fault.strerror}): choose another file") from fault


def _groups(inputs: Mapping[str, FitInput], box: tuple[float, float]) -> list[list[str]]:
    alike: dict[str, list[str]] = {}
    for name, one in inputs.items():
        alike.setdefault(f"{one.key} {one.free.tolist()} {box_of(one.case, box)}", []).append(name)
    return [n[i : i + MOST_AT_ONCE] for n in alike.values() for i in range(0, len(n), MOST_AT_ONCE)]


def _fit_group(
    names: Sequence[str],
    inputs: Mapping[str, FitInput],
    options: FitOptions,
    found: dict[str, Any],
    outcome: Outcome,
) -> None:
    """Fit cases together; if that fails, one by one, so that only the one to blame is lost."""
    try:
        entries = _fit_together([inputs[name] for name in names], options)
    except SDLError as fault:
        if len(names) == 1:
            outcome.faults[names[0]] = fault
            return
        for name in names:
            _fit_group([name], inputs, options, found, outcome)
        return
    for name, entry in zip(names, entries, strict=True):
        found[name] = entry
        outcome.done.append(name)
        outcome.findings[name] = tuple(entry["findings"])


def _fit_together(inputs: Sequence[FitInput], options: FitOptions) -> list[dict[str, Any]]:
    one = inputs[0]
    box = box_of(one.case, options.box)
    priors = {**spread_priors(options.priors, one.case.elements), **one.case.priors()}
    result = rbs_fit.fit(
        one.setup,
        np.stack([k.counts for k in inputs]),
        np.stack([np.where(k.free, np.clip(k.start, *box), k.start) for k in inputs]),
        free=one.free,
        bounds=box,
        roi=list(one.roi),
        likelihood=options.likelihood,
        nuisance=priors or None,
        restarts=options.restarts,
        seed=options.seed,
    )
    return [entry_of(k, result, i, box) for i, k in enumerate(inputs)]


def entry_of(one: FitInput, result: FitResult, index: int, box: tuple[float, float]) -> dict[str, Any]:
    """What is written for one case: see docs/reference/cli.md."""
    entry: dict[str, Any] = {
        "layers": layer_dicts(result.layers[index], one.case),
        "layers_std": layer_dicts(result.layers_std[index], one.case),
        "chi2": _finite(result.chi2[index]),
        "nu": int(result.nu),
        "accepted": bool(result.accepted[index]),
        "pass_quantile": float(result.limit),
        "goodness": _finite(result.goodness[index]),
        "roi": [list(region) for region in one.roi],
        "at_bound": _at_bound(one, result, index, box),
        "findings": [*one.findings, *result.findings[index]],
    }
    if result.nuisance_names:
        entry["nuisance"] = dict(zip(result.nuisance_names, map(_finite, result.nuisance[index]), strict=True))
        entry["nuisance_std"] = dict(zip(result.nuisance_names, map(_finite, result.nuisance_std[index]), strict=True))
    return entry


def _at_bound(one: FitInput, result: FitResult, index: int, box: tuple[float, float]) -> list[dict[str, Any]]:
    """The free densities that ended on a bound, and on which."""
    found = []
    for k, (layer, element) in enumerate(np.argwhere(one.free)):
        if result.at_bound[index, k]:
            side = "lower" if result.layers[index, layer, element] - box[0] < 0.5 * (box[1] - box[0]) else "upper"
            found.append({"layer": int(layer), "element": one.case.elements[element], "bound": side})
    return found


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
