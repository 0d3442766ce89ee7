"""A trained published network: made, kept, asked."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from sdl_bluesky.errors import ModelFileError, OutOfRange
from sdl_bluesky.inference.rbs_mdn.published.examples import measure
from sdl_bluesky.inference.rbs_mdn.published.network import Layout, PublishedNetwork
from sdl_bluesky.inference.rbs_mdn.published.prediction import Prediction
from sdl_bluesky.inference.rbs_mdn.published.scaling import Scaling, in_bins, scaling_of
from sdl_bluesky.inference.rbs_mdn.published.training import Pairs, Schedule, Tell, train
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem

AT_ONCE = 500
"""Spectra in one call of the network."""
_VALIDATION_SEED = 1_000_003


@dataclass(frozen=True, eq=False)
class Published:
    """A published network that is ready for spectra.

    Attributes:
        system: for which it was trained.
        scaling: its preprocessing.
        network: the network.
        card: schedule, losses, seconds; plain types.
    """

    system: MaterialSystem
    scaling: Scaling
    network: PublishedNetwork
    card: Mapping[str, Any]

    def predict(self, counts: ArrayLike) -> Prediction:
        """What spectra [b, channel] say.

        Raises:
            OutOfRange: another number of channels, a count that is negative or no number.
        """
        spectra = np.asarray(counts, dtype=float)
        if spectra.ndim != 2 or spectra.shape[1] != self.system.setup.channels:
            raise OutOfRange(
                f"spectra of shape {spectra.shape}: {self.system.name} has {self.system.setup.channels} channels"
            )
        if not np.all(np.isfinite(spectra)) or np.any(spectra < 0):
            raise OutOfRange("a spectrum holds a count that is negative or no number")
        inputs = torch.from_numpy(self.scaling.inputs(in_bins(self.system, spectra)))
        parts = []
        with torch.inference_mode():
            for rows in inputs.split(AT_ONCE):
                said = self.network(rows)
                parts.append([k.numpy().astype(float) for k in (said.log_weight.exp(), said.centre, said.spread)])
        weight, centre, spread = (np.concatenate(k) for k in zip(*parts, strict=True))
        return Prediction(self.system, weight, centre, spread, self.scaling.low, self.scaling.high)


def make_published(
    system: MaterialSystem,
    layout: Layout,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    tell: Tell = lambda epoch, loss: None,
    device: str = "cpu",
) -> Published:
    """Draw spectra and train; arguments and errors as `training.train` and `examples.measure`."""
    began = time.perf_counter()
    examples = measure(system, schedule.spectra, schedule.seed)
    known = measure(system, schedule.validation, _VALIDATION_SEED + schedule.seed)
    scaling = scaling_of(examples.counts, examples.densities)
    drawing_s = time.perf_counter() - began

    def pairs(counts: Any, densities: Any) -> Pairs:
        return torch.from_numpy(scaling.inputs(counts)), torch.from_numpy(scaling.targets(densities))

    torch.manual_seed(schedule.seed)
    network = PublishedNetwork(layout, scaling.size, system.densities)
    training, validation = (pairs(k.counts, k.densities) for k in (examples, known))
    end = train(network, training, validation, schedule, checkpoint=checkpoint, tell=tell, device=device)
    spent = {"spectra_s": drawing_s, "training_s": end.seconds, "device": device}
    return Published(system, scaling, network.cpu(), {"schedule": asdict(schedule), "losses": end.losses, **spent})


def save_published(published: Published, file: Path) -> None:
    """Write a network; whoever reads meanwhile sees the old one or the new one."""
    scaling = {k: torch.from_numpy(np.asarray(v)) for k, v in vars(published.scaling).items()}
    state = {
        "digest": published.system.digest,
        "layout": asdict(published.network.layout),
        "scaling": scaling,
        "weights": published.network.state_dict(),
        "card": dict(published.card),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        torch.save(state, new)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def load_published(file: Path, system: MaterialSystem) -> Published:
    """Read a network of a system.

    Raises:
        ModelFileError: the file is missing or damaged, or its network was trained for another system.
    """
    try:
        state = torch.load(file, weights_only=True)
        if state["digest"] != system.digest:
            raise ModelFileError(file, f"its network was not trained for {system.name} as it is now: train it again")
        scaling = Scaling(**{k: v.numpy() for k, v in state["scaling"].items()})
        layout = Layout(**state["layout"])
        network = PublishedNetwork(layout, scaling.size, system.densities)
        network.load_state_dict(state["weights"])
    except ModelFileError:
        raise
    except FileNotFoundError as fault:
        raise ModelFileError(file, "there is no such file: train a network first") from fault
    except Exception as fault:  # torch tells a damaged file by half a dozen types
        raise ModelFileError(
            file, f"no network can be read from it ({type(fault).__name__}): train it again"
        ) from fault
    return Published(system, scaling, network.eval(), state["card"])
