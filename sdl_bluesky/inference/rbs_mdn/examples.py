"""Spectra to learn from: drawn from a material system, without noise, in blocks, kept in a folder by what defines them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.inference.rbs_mdn.features import merged
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem

BLOCK = 5000
"""Spectra that one call makes; a block depends on seed and number alone, wherever it is made."""
Single = NDArray[np.float32]
Mapper = Callable[[Callable[[int], Any], Sequence[int]], Iterable[Any]]
"""`map`, or that of a cluster."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Noise-free spectra and what lies behind them.

    Attributes:
        z: coordinates [n, p].
        fluence: known factor on the fluence [n].
        counts: merged noise-free counts [n, bin].
    """

    z: Single
    fluence: Single
    counts: Single

    def __len__(self) -> int:
        return len(self.z)


def draw_examples(
    system: MaterialSystem,
    count: int,
    merge: int,
    seed: int = 0,
    *,
    cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
    mapper: Mapper = map,
) -> Examples:
    """Spectra of a material system.

    Args:
        system: which.
        count: how many.
        merge: channels taken together, see `features.merged`.
        seed: of the draws.
        cache: folder in which they are kept, and looked for; None: they are not kept.
        progress: called with the number of spectra that have come since the last call.
        mapper: applies a function to each of some block numbers, in order; `map` works here, that of a cluster elsewhere.
    """
    file = None if cache is None else cache / f"{system.name}-{system.digest}-{merge}-{seed}-{count}.npz"
    if file is not None and (known := _read(file)) is not None:
        if progress is not None:
            progress(count)
        return known
    sizes = [min(BLOCK, count - first) for first in range(0, count, BLOCK)]
    parts = []
    for part in mapper(partial(_block, system, sizes, merge, seed), range(len(sizes))):
        parts.append(part)
        if progress is not None:
            progress(len(part[0]))
    found = Examples(*(np.concatenate(k) for k in zip(*parts, strict=True)))
    if file is not None:
        _write(file, found)
    return found


def _block(
    system: MaterialSystem, sizes: Sequence[int], merge: int, seed: int, number: int
) -> tuple[Single, Single, Single]:
    z, fluence = system.draw(sizes[number], np.random.default_rng([seed, number]))
    counts = merged(system, system.spectra(z, fluence), merge)
    return z.astype(np.float32), fluence.astype(np.float32), counts.astype(np.float32)


def _read(file: Path) -> Examples | None:
    """None if it is not there, or was left half written by another program."""
    try:
        with np.load(file, allow_pickle=False) as found:
            return Examples(found["z"], found["fluence"], found["counts"])
    except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError, EOFError):
        return None


def _write(file: Path, examples: Examples) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.stem}.{os.getpid()}.tmp.npz")
    try:
        np.savez(new, z=examples.z, fluence=examples.fluence, counts=examples.counts)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
