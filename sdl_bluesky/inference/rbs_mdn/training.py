"""Training: AdamW with one cycle of the rate, counting noise that is new every time, checkpoints from which it goes on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sdl_bluesky.errors import DataFileError, OutOfRange
from sdl_bluesky.inference.rbs_mdn.examples import Examples
from sdl_bluesky.inference.rbs_mdn.features import Features
from sdl_bluesky.inference.rbs_mdn.network import Network, Shape

POISSON_BELOW = 60.0
"""Expected counts from which the root of a count has a normal error."""
WARM = 0.1
"""Part of the training in which the rate rises."""
LARGEST_GRADIENT = 1.0
FIRST_LOSSES = 0.98
"""How the running mean of the loss forgets."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        spectra: noise-free spectra that are drawn for it.
        steps: of the optimiser.
        batch: spectra a step.
        rate: largest learning rate.
        decay: of the weights.
        width, blocks, components: of the network, see `network.Shape`.
        validation: further spectra, for the recalibration.
        seed: of everything.
    """

    spectra: int = 400_000
    steps: int = 20_000
    batch: int = 512
    rate: float = 4e-3
    decay: float = 1e-4
    width: int = 512
    blocks: int = 3
    components: int = 1
    validation: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in ("decay", "seed") else 1e-12
            if not (math.isfinite(value) and value >= least):
                raise OutOfRange(f"{name} = {value}: a training needs a positive number")
        if self.batch > self.spectra:
            raise OutOfRange(f"a batch of {self.batch} from {self.spectra} spectra: draw more, or take fewer at once")


Tell = Callable[[int, float], None]
"""Called with the number of steps done and the running mean of the loss."""


class Trained(NamedTuple):
    """What a training has made.

    Attributes:
        network: ready to be asked.
        seconds: that it took; of one that was interrupted, those of all its parts.
    """

    network: Network
    seconds: float


@dataclass
class _Progress:
    """How far a training is.

    Attributes:
        step: steps done.
        loss: running mean.
        seconds: spent, in all parts.
    """

    step: int = 0
    loss: float = math.nan
    seconds: float = 0.0


def train(
    features: Features,
    examples: Examples,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    every: int = 2000,
    tell: Tell = lambda step, loss: None,
    device: str = "cpu",
) -> Trained:
    """Train a network.

    Args:
        features: how counts become inputs.
        examples: spectra without noise.
        recipe: how.
        checkpoint: file in which the state is kept; an interrupted training goes on from it, to the same end.
        every: steps between two states.
        tell: for a progress bar.
        device: "cpu" or "cuda".

    Ctrl-C writes the state, too.

    Raises:
        DataFileError: the checkpoint cannot be read, or belongs to another training.
        OutOfRange: the loss is no number any more.
    """
    torch.manual_seed(recipe.seed)
    shape = Shape(features.size, features.system.size, recipe.width, recipe.blocks, recipe.components)
    network = Network(shape).to(device)
    optimiser = torch.optim.AdamW(_groups(network, recipe.decay), lr=recipe.rate, betas=(0.9, 0.99), fused=True)
    at = _Progress()
    if checkpoint is not None and checkpoint.exists():
        at = _restore(checkpoint, recipe, features, network, optimiser)
    restored, since = at.step, time.perf_counter() - at.seconds
    batches = _Batches(features, examples, recipe)
    short = short_numbers(device)
    network.train()
    try:
        while at.step < recipe.steps:
            for group in optimiser.param_groups:
                group["lr"] = rate_at((at.step + 1) / recipe.steps, recipe.rate)
            value = _step(network, optimiser, [k.to(device) for k in batches.at(at.step)], device, short)
            at.loss = value if math.isnan(at.loss) else FIRST_LOSSES * at.loss + (1.0 - FIRST_LOSSES) * value
            at.step, at.seconds = at.step + 1, time.perf_counter() - since
            if not math.isfinite(at.loss):
                raise OutOfRange(f"step {at.step}: the loss is no number: take a smaller rate than {recipe.rate:g}")
            tell(at.step, at.loss)
            if checkpoint is not None and at.step % every == 0:
                _save(checkpoint, recipe, features, network, optimiser, at)
    except KeyboardInterrupt:
        if checkpoint is not None and at.step > restored:
            _save(checkpoint, recipe, features, network, optimiser, at)
        raise
    return Trained(network.eval(), at.seconds)


def _step(
    network: Network, optimiser: torch.optim.Optimizer, batch: list[torch.Tensor], device: str, short: bool
) -> float:
    """One step; returns the loss."""
    inputs, z = batch
    with torch.autocast(device, torch.bfloat16, enabled=short):
        hidden = network.hidden(inputs)
    loss = network.told(hidden.float()).negative_log_density(z).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimiser.step()
    return loss.item()


def short_numbers(device: str) -> bool:
    """Whether the machine multiplies 16-bit numbers (bfloat16) faster than 32-bit ones; the weights have 32 bits always."""
    return device == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())  # no public function tells


def rate_at(part: float, largest: float) -> float:
    """One cycle: up in a straight line, down by a cosine to nearly nothing; `part` of the training is done."""
    if part < WARM:
        return largest * part / WARM
    return largest * (1e-3 + (1.0 - 1e-3) * 0.5 * (1.0 + math.cos(math.pi * (part - WARM) / (1.0 - WARM))))


def counted(expected: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
    """Counts [...] of expected counts; where there are many, the root of a count gets a normal error, which is quicker.

    The mean of (sqrt(e + 1/8) + N(0, 1/4))^2 - 3/8 is e, its variance e + 1/4.
    """
    roots = np.sqrt(expected + 0.125, dtype=np.float32) + 0.5 * rng.standard_normal(expected.shape, dtype=np.float32)
    counts = np.maximum(roots, 0.0) ** 2 - 0.375
    few = expected < POISSON_BELOW
    counts[few] = rng.poisson(expected[few])
    return np.maximum(counts, 0.0)


class _Batches:
    """Batches of one pass after the other; a batch depends on seed and step alone."""

    def __init__(self, features: Features, examples: Examples, recipe: Recipe) -> None:
        self._features, self._examples, self._recipe = features, examples, recipe
        self._z = torch.from_numpy(examples.z)
        self._pass, self._order = -1, np.zeros(0, dtype=np.intp)

    def at(self, step: int) -> Iterator[torch.Tensor]:
        """Inputs and coordinates of a step."""
        recipe, each = self._recipe, len(self._examples) // self._recipe.batch
        number, place = divmod(step, each)
        if number != self._pass:
            self._pass = number
            self._order = np.random.default_rng([recipe.seed, 1, number]).permutation(len(self._examples))
        rows = self._order[place * recipe.batch : (place + 1) * recipe.batch]
        rng = np.random.default_rng([recipe.seed, 2, step])
        counts = counted(self._examples.counts[rows], rng)
        yield torch.from_numpy(self._features.inputs(counts, self._examples.fluence[rows]))
        yield self._z[torch.from_numpy(rows)]


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights decay, biases and scales do not."""
    weights = [k for k in network.parameters() if k.ndim > 1]
    others = [k for k in network.parameters() if k.ndim <= 1]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _about(recipe: Recipe, features: Features) -> dict[str, Any]:
    return {**asdict(recipe), "system": features.system.digest, "merge": features.merge}


def _save(
    file: Path,
    recipe: Recipe,
    features: Features,
    network: Network,
    optimiser: torch.optim.Optimizer,
    progress: _Progress,
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.tmp")
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "progress": asdict(progress)}
    torch.save({**state, "about": _about(recipe, features)}, new)
    new.replace(file)


def _restore(
    file: Path, recipe: Recipe, features: Features, network: Network, optimiser: torch.optim.Optimizer
) -> _Progress:
    try:
        state = torch.load(file, weights_only=True)
        about, progress = state["about"], _Progress(**state["progress"])
        if about != _about(recipe, features):
            raise DataFileError(file, "this state belongs to a training with another recipe or system: remove it")
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
    except DataFileError:
        raise
    except Exception as fault:  # torch tells a damaged file by half a dozen types
        raise DataFileError(file, f"no state of a training can be read from it ({fault}): remove it") from fault
    return progress
