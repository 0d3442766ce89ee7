"""Networks of the study, trained once: they are kept in the folder `$SDL_BENCH_CACHE`, or until the program ends."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from sdl_bluesky.bench.rbs_sets import SETS
from sdl_bluesky.data.rbs import system_file
from sdl_bluesky.inference.rbs_mdn.assess import Trials, draw_trials
from sdl_bluesky.inference.rbs_mdn.making import Where, make_model
from sdl_bluesky.inference.rbs_mdn.model import Model, load_model, save_model
from sdl_bluesky.inference.rbs_mdn.published import (
    Layout,
    Published,
    Schedule,
    load_published,
    make_published,
    save_published,
)
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.inference.rbs_mdn.training import Recipe

CACHE = "SDL_BENCH_CACHE"
"""Environment variable: a folder in which trained networks stay, so that another run does not train them again."""
TINY = Recipe(spectra=6000, steps=400, batch=128, width=96, blocks=1, validation=3000)
TINY_SCHEDULE = Schedule(spectra=600, validation=200, rates=(1e-3, 5e-4), epochs=2, batch=64)
TEST_BLOCK = 250
"""Test spectra whose derivatives are in memory at a time."""
Tell = Callable[[str], None]


def recipe_of(name: str, quick: bool, seed: int = 0) -> Recipe:
    """How the network of a set is trained: as its file says; `quick`: hardly."""
    return replace(TINY, seed=seed) if quick else system_file.recipe_of(name, seed=seed)


def trained(name: str, recipe: Recipe, tell: Tell) -> Model:
    """Our network of a set, from the folder if it is there."""
    system = SETS[name].system
    file = folder() / f"{_stem(system, asdict(recipe))}.npz"
    if file.exists():
        tell(f"{name}: network from {file}")
        return load_model(file)
    checkpoint = file.with_suffix(".training")
    tell(f"{name}: {recipe.spectra} spectra, {recipe.steps} steps")
    where = Where(checkpoint=checkpoint, device=device())
    model = make_model(
        system, recipe, where, tell=partial(_now_and_then, tell, name, "step", max(recipe.steps // 5, 1))
    )
    save_model(model, file)
    checkpoint.unlink(missing_ok=True)
    return model


def trained_published(name: str, layout: Layout, schedule: Schedule, tell: Tell) -> Published:
    """A published network of a set, from the folder if it is there."""
    system = SETS[name].system
    file = folder() / f"published-{_stem(system, {**asdict(layout), **asdict(schedule)})}.pt"
    if file.exists():
        tell(f"{name}: published network from {file}")
        return load_published(file, system)
    checkpoint = file.with_suffix(".training")
    tell(
        f"{name}: published network, {schedule.spectra} spectra, {schedule.epochs * len(schedule.rates)} epochs at most"
    )
    said = partial(_now_and_then, tell, name, "epoch", 5)
    published = make_published(system, layout, schedule, checkpoint=checkpoint, tell=said, device=device())
    save_published(published, file)
    checkpoint.unlink(missing_ok=True)
    return published


def trials_of(name: str, count: int, seed: int) -> Trials:
    """Test spectra of a set."""
    system = SETS[name].system
    firsts = range(0, count, TEST_BLOCK)
    parts = [draw_trials(system, min(TEST_BLOCK, count - k), 7_000_000 + 10_000 * seed + k) for k in firsts]
    names = ("truth", "fluence", "counts", "bound", "true_chi2")
    return Trials(system, *(np.concatenate([getattr(part, k) for part in parts]) for k in names))


def folder() -> Path:
    """Where the networks are; it is made."""
    path = Path(os.environ[CACHE] if os.environ.get(CACHE) else _temporary().name)
    path.mkdir(parents=True, exist_ok=True)
    return path


def device() -> str:
    """Where networks are trained."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@cache
def _temporary() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="sdl-bench-")


def _stem(system: MaterialSystem, about: dict[str, Any]) -> str:
    text = json.dumps([system.digest, about], sort_keys=True)
    return f"{system.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _now_and_then(tell: Tell, name: str, what: str, every: int, number: int, loss: float) -> None:
    if number % every == 0:
        tell(f"{name}: {what} {number}, loss {loss:.4g}")
