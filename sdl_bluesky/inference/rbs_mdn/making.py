"""From a material system to a model: spectra, training, recalibration, card."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.inference.rbs_mdn import assess
from sdl_bluesky.inference.rbs_mdn.assess import Trials
from sdl_bluesky.inference.rbs_mdn.examples import Mapper, draw_examples
from sdl_bluesky.inference.rbs_mdn.features import features_of, merge_of
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.recalibration import Recalibration, recalibrate
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.inference.rbs_mdn.training import Recipe, Tell, counted, train

TRIALS = 1000
"""Spectra for the tables of the card."""
_VALIDATION_SEED, _TRIALS_SEED = 1_000_003, 1_000_033


@dataclass(frozen=True)
class Where:
    """Where a model is made.

    Attributes:
        cache: folder for spectra; None: they are not kept.
        checkpoint: file from which an interrupted training goes on; None: it does not.
        device: "cpu" or "cuda".
        mapper: `map`, or that of a cluster, for the spectra.
    """

    cache: Path | None = None
    checkpoint: Path | None = None
    device: str = "cpu"
    mapper: Mapper = map


def make_model(
    system: MaterialSystem,
    recipe: Recipe,
    where: Where = Where(),
    *,
    drawn: Callable[[int], None] = lambda count: None,
    tell: Tell = lambda step, loss: None,
) -> Model:
    """Draw spectra, train, recalibrate, assess.

    Args:
        system: whose.
        recipe: of the training.
        where: see `Where`.
        drawn: called with the number of spectra that were drawn since the last call.
        tell: called with the number of steps and the loss.

    Raises:
        OutOfRange, DataFileError: see `training.train`.
    """
    merge, began = merge_of(system), time.perf_counter()
    given: dict[str, Any] = {"cache": where.cache, "mapper": where.mapper, "progress": drawn}
    examples = draw_examples(system, recipe.spectra, merge, recipe.seed, **given)
    features = features_of(system, examples.counts[:30_000], merge)
    drawing_s = time.perf_counter() - began
    trained = train(features, examples, recipe, checkpoint=where.checkpoint, tell=tell, device=where.device)
    network = trained.network.cpu()
    raw = Model(system, features, network, Recalibration.none(system.size), {})
    known = draw_examples(system, recipe.validation, merge, _VALIDATION_SEED + recipe.seed, **given)
    noisy = counted(known.counts, np.random.default_rng([recipe.seed, 3]))
    told = [
        posterior.told(system.values(z.astype(float)))
        for posterior, z in zip(raw.of_merged(noisy, known.fluence), np.array_split(known.z, 20), strict=True)
    ]
    curve = recalibrate(np.concatenate(told))
    software = {k: version(k) for k in ("sdl_bluesky", "torch", "numpy", "pyrump")}
    about = {
        "recipe": asdict(recipe),
        "spectra_s": drawing_s,
        "training_s": trained.seconds,
        "machine": f"{platform.machine()}, {where.device}",
        "software": software,
    }
    ready = Model(system, features, network, curve, about)
    trials = assess.draw_trials(system, TRIALS, _TRIALS_SEED + recipe.seed)
    return Model(
        system,
        features,
        network,
        curve,
        {**about, "tables": tables(ready.predict(trials.counts, trials.fluence), trials)},
    )


def tables(posterior: Posterior, trials: Trials) -> dict[str, Any]:
    """Accuracy and calibration for a card, by the name of the unknown."""
    system = trials.system
    shares = assess.coverage(posterior, trials)
    columns = {
        "relative_error": assess.relative_error(posterior.mean, trials),
        "relative_bound": assess.relative_bound(trials),
        "efficiency": assess.efficiency(posterior.mean, trials),
        "coverage_score": assess.coverage_score(posterior, trials),
        "rank_chance": assess.rank_chance(posterior.distribution(trials.truth)),
        **{f"coverage_{round(100 * k)}": share for k, share in zip(assess.LEVELS, shares, strict=True)},
    }
    each = {
        name: {key: float(column[k]) for key, column in columns.items() if k < len(column)}
        for k, name in enumerate(system.names)
    }
    return {
        "spectra": len(trials),
        "accepted": assess.passed(assess.back_chi2(posterior.mean, trials), system),
        "accepted_at_truth": assess.passed(trials.true_chi2, system),
        "unknowns": each,
    }
