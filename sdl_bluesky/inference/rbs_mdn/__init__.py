"""Posteriors of backscattering spectra in a millisecond: networks that are trained on the forward model.

    system = MaterialSystem(...)                       # the experiment, and what may lie behind its spectra
    model = make_model(system, Recipe())               # minutes
    posterior = model.predict(counts)                  # a millisecond
    found = answer(model, counts)                      # posterior, fit from it, accepted or why not

`docs/explanation/rbs-mdn.md` says how, and how good it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem

if TYPE_CHECKING:
    from sdl_bluesky.inference.rbs_mdn.making import Where, make_model
    from sdl_bluesky.inference.rbs_mdn.matching import check_setup
    from sdl_bluesky.inference.rbs_mdn.model import Model, load_model, save_model
    from sdl_bluesky.inference.rbs_mdn.posterior import Posterior
    from sdl_bluesky.inference.rbs_mdn.route import Answer, answer
    from sdl_bluesky.inference.rbs_mdn.training import Recipe

_HOMES = {
    "Answer": "route",
    "Model": "model",
    "Posterior": "posterior",
    "Recipe": "training",
    "Where": "making",
    "answer": "route",
    "check_setup": "matching",
    "load_model": "model",
    "make_model": "making",
    "save_model": "model",
}
__all__ = [
    "Answer",
    "MaterialSystem",
    "Model",
    "Posterior",
    "Recipe",
    "Where",
    "answer",
    "check_setup",
    "load_model",
    "make_model",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Torch and the compiled kernels load when they are first used."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"sdl_bluesky.inference.rbs_mdn.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
