"""The paper's training: AdamW in steps with a rate each, every step from the best weights so far, early stopping.

Not printed, so chosen here: the rates (falling from 1e-3 to 2e-5), an even share of the 100 epochs for each step, batches of
128, the decay of AdamW as it comes.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdl_bluesky.errors import DataFileError, OutOfRange
from sdl_bluesky.inference.rbs_mdn.published.network import PublishedNetwork

Pairs = tuple[Tensor, Tensor]
"""Inputs [n, bin] and scaled densities [n, d]."""
Tell = Callable[[int, float], None]
"""Called with the number of epochs done and the loss of the validation spectra."""


@dataclass(frozen=True)
class Schedule:
    """How a published network is trained.

    Attributes:
        spectra, validation: how many are drawn for training and for early stopping.
        rates: learning rate of each step.
        epochs: most epochs of a step.
        patience: epochs without a better validation loss after which a step ends.
        batch: spectra at a time.
        decay: of the weights.
        seed: of everything.
    """

    spectra: int = 50_000
    validation: int = 1000
    rates: tuple[float, ...] = (1e-3, 5e-4, 2e-4, 1e-4, 2e-5)
    epochs: int = 20
    patience: int = 20
    batch: int = 128
    decay: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        numbers = {k: v for k, v in asdict(self).items() if k != "rates"}
        for name, value in [*numbers.items(), *(("rate", k) for k in self.rates)]:
            least = 0.0 if name in ("decay", "seed") else 1e-12
            if not (math.isfinite(value) and value >= least):
                raise OutOfRange(f"{name} = {value}: a training needs a positive number")
        if not self.rates:
            raise OutOfRange("no rates: a training needs a step")


@dataclass
class Progress:
    """Where a training is.

    Attributes:
        step, epoch: that come next.
        stale: epochs of this step without a better loss.
        best: least loss of the validation.
        losses: of the validation, after each epoch.
        seconds: spent, in all parts of a training that was interrupted.
    """

    step: int = 0
    epoch: int = 0
    stale: int = 0
    best: float = math.inf
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(
    network: PublishedNetwork,
    training: Pairs,
    validation: Pairs,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    tell: Tell = lambda epoch, loss: None,
    device: str = "cpu",
) -> Progress:
    """Train a network in place; it ends with the weights of the least validation loss.

    Args:
        network: to train.
        training, validation: inputs and targets.
        schedule: how.
        checkpoint: file in which the state is kept after each epoch; an interrupted training goes on from it, to the same
            end.
        tell: for a progress bar.
        device: "cpu" or "cuda".

    Returns:
        Where it has ended: losses, and the seconds of all parts of it.

    Raises:
        OutOfRange: the loss is no number.
        DataFileError: the checkpoint cannot be read, or belongs to another training.
    """
    network.to(device).train()
    x, y = (k.to(device) for k in training)
    known = tuple(k.to(device) for k in validation)
    place, best = Progress(), copy.deepcopy(network.state_dict())
    optimiser = _optimiser(network, schedule, 0)
    if checkpoint is not None and checkpoint.exists():
        place, best, optimiser = _restore(checkpoint, network, schedule)
    since = time.perf_counter() - place.seconds
    while place.step < len(schedule.rates):
        if place.epoch == schedule.epochs or place.stale >= schedule.patience:
            place.step, place.epoch, place.stale = place.step + 1, 0, 0
            network.load_state_dict(best)
            if place.step < len(schedule.rates):
                optimiser = _optimiser(network, schedule, place.step)
            continue
        rng = np.random.default_rng([schedule.seed, 1, place.step, place.epoch])
        order = torch.from_numpy(rng.permutation(len(x))).to(device)
        for rows in order.split(schedule.batch):
            optimiser.zero_grad(set_to_none=True)
            network.loss(x[rows], y[rows]).backward()
            optimiser.step()
        loss = _loss(network, known[0], known[1])
        if not math.isfinite(loss):
            raise OutOfRange(f"epoch {len(place.losses) + 1}: the loss is no number: take smaller rates")
        place.losses.append(loss)
        place.epoch += 1
        place.stale += 1
        if loss < place.best:
            place.best, place.stale, best = loss, 0, copy.deepcopy(network.state_dict())
        place.seconds = time.perf_counter() - since
        tell(len(place.losses), loss)
        if checkpoint is not None:
            _save(checkpoint, network, schedule, place, best, optimiser)
    network.eval()
    return place


def _loss(network: PublishedNetwork, x: Tensor, y: Tensor) -> float:
    with torch.inference_mode():
        parts = [network.loss(a, b) * len(a) for a, b in zip(x.split(1000), y.split(1000), strict=True)]
    return float(torch.stack(parts).sum()) / len(x)


def _optimiser(network: PublishedNetwork, schedule: Schedule, step: int) -> torch.optim.AdamW:
    return torch.optim.AdamW(network.parameters(), lr=schedule.rates[step], weight_decay=schedule.decay)


def _about(network: PublishedNetwork, schedule: Schedule) -> str:
    return repr((schedule, network.layout, network.inputs, network.densities))


def _save(
    file: Path,
    network: PublishedNetwork,
    schedule: Schedule,
    place: Progress,
    best: dict[str, Any],
    optimiser: torch.optim.Optimizer,
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {"network": network.state_dict(), "best": best, "optimiser": optimiser.state_dict(), "place": asdict(place)}
    new = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        torch.save({**state, "about": _about(network, schedule)}, new)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _restore(
    file: Path, network: PublishedNetwork, schedule: Schedule
) -> tuple[Progress, dict[str, Any], torch.optim.AdamW]:
    try:
        state = torch.load(file, weights_only=True)
        if state["about"] != _about(network, schedule):
            raise DataFileError(file, "this state belongs to another training or network: remove it")
        place = Progress(**state["place"])
        network.load_state_dict(state["network"])
        optimiser = _optimiser(network, schedule, min(place.step, len(schedule.rates) - 1))
        optimiser.load_state_dict(state["optimiser"])
    except DataFileError:
        raise
    except Exception as fault:  # torch tells a damaged file by half a dozen types
        raise DataFileError(file, f"no state of a training can be read from it ({fault}): remove it") from fault
    return place, state["best"], optimiser
