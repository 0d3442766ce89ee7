"""A trained network as a thing to keep: weights, scales, recalibration, and a card that says what it is."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sdl_bluesky.errors import ModelFileError, OutOfRange
from sdl_bluesky.inference.rbs_mdn.features import Features
from sdl_bluesky.inference.rbs_mdn.network import Network, Shape
from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
from sdl_bluesky.inference.rbs_mdn.recalibration import Recalibration
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem, digest_of

SCHEMA = 1
_WEIGHT = "network."


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is ready for spectra.

    Attributes:
        system: experiment and layers for which it was trained.
        features: how counts become inputs.
        network: the network.
        recalibration: of its marginal distributions.
        card: recipe, digests, software, tables of accuracy and calibration; plain types.
    """

    system: MaterialSystem
    features: Features
    network: Network
    recalibration: Recalibration
    card: Mapping[str, Any]

    def predict(self, counts: ArrayLike, fluence: ArrayLike = 1.0) -> Posterior:
        """What spectra say.

        Args:
            counts: [b, channel], all channels of the set-up.
            fluence: of each spectrum, as a factor on that of the set-up, a number or [b].

        Raises:
            OutOfRange: another number of channels, a count that is none, a fluence beyond the range of the training.
        """
        spectra = np.asarray(counts, dtype=float)
        factor = np.broadcast_to(np.asarray(fluence, dtype=float), spectra.shape[:1])
        low, high = self.system.fluence
        if not np.all((factor >= low * (1 - 1e-9)) & (factor <= high * (1 + 1e-9))):
            raise OutOfRange(
                f"fluence of {factor.min():.3g} to {factor.max():.3g} times that of the set-up: the model "
                f"{self.system.name} was trained for {low:g} to {high:g}"
            )
        return self._posterior(self.features.of(spectra, factor))

    def of_merged(self, merged: NDArray[Any], fluence: NDArray[Any], parts: int = 20) -> Iterator[Posterior]:
        """The same for merged counts [b, bin], in so many parts."""
        for rows in np.array_split(np.arange(len(merged)), parts):
            yield self._posterior(self.features.inputs(merged[rows], fluence[rows]))

    def _posterior(self, inputs: NDArray[np.float32]) -> Posterior:
        with torch.inference_mode():
            found = self.network(torch.from_numpy(inputs))
            weight, mean, factor = (
                k.numpy().astype(float) for k in (found.log_weight.exp(), found.mean, found.factor())
            )
        return Posterior(self.system, weight, mean, factor, self.recalibration)


def save_model(model: Model, file: Path) -> None:
    """Write a model; whoever reads meanwhile sees the old one or the new one."""
    card = {
        "schema": SCHEMA,
        "name": model.system.name,
        "system": model.system.definition(),
        "digest": model.system.digest,
        "merge": model.features.merge,
        "shape": asdict(model.network.shape),
        **model.card,
    }
    weights = model.network.state_dict()
    arrays = {_WEIGHT + k: v.detach().cpu().numpy().astype(np.float32) for k, v in weights.items()}
    arrays |= {"features.mean": model.features.mean, "features.spread": model.features.spread}
    arrays |= {"recalibration.told": model.recalibration.told, "recalibration.true": model.recalibration.true}
    text = np.frombuffer(json.dumps(card, allow_nan=False).encode(), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.stem}.{os.getpid()}.tmp.npz")
    try:
        np.savez(new, allow_pickle=False, card=text, **arrays)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def load_model(file: Path) -> Model:
    """Read a model.

    Raises:
        ModelFileError: the file is missing, damaged, of another schema, or no model.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = {k: found[k] for k in found.files}
        card = json.loads(arrays.pop("card").tobytes())
        if card["schema"] != SCHEMA:
            raise ModelFileError(file, f"it is of schema {card['schema']}, this program reads {SCHEMA}: train it again")
        system = MaterialSystem.from_definition(card["name"], card["system"])
        if digest_of(card["system"]) != card["digest"]:
            raise ModelFileError(file, "its definition is not the one it was trained with: train it again")
        network = Network(Shape(**card["shape"]))
        weights = {k.removeprefix(_WEIGHT): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(_WEIGHT)}
        if not all(torch.isfinite(k).all() for k in weights.values()):
            raise ModelFileError(file, "a weight is no number: train it again")
        network.load_state_dict(weights)
        scale = [arrays[f"features.{k}"].astype(float) for k in ("mean", "spread")]
        curve = [arrays[f"recalibration.{k}"].astype(float) for k in ("told", "true")]
        features = Features(system, int(card["merge"]), *scale)
    except ModelFileError:
        raise
    except FileNotFoundError as fault:
        raise ModelFileError(
            file, "there is no such file: give that of a model, or train one (sdl rbs train)"
        ) from fault
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError, EOFError) as fault:
        raise ModelFileError(file, f"no model can be read from it ({_short(fault)}): train it again") from fault
    return Model(system, features, network.eval(), Recalibration(*curve), card)


def _short(fault: BaseException) -> str:
    text = f"{type(fault).__name__}: {fault}"
    return text if len(text) < 160 else text[:157] + "..."
