"""Areal densities from backscattering spectra, with their errors, a batch at a time.

    result = fit(setup, spectra, start, free=free, roi=[(100, 800)])
    result.layers, result.layers_std, result.accepted
    composition(result, layers=[0])

The model is `sdl_bluesky.physics.rbs`; `docs/explanation/rbs-fit.md` says how the fit works.
"""

from __future__ import annotations

from sdl_bluesky.inference.rbs_fit.autofit import Autofit, autofit
from sdl_bluesky.inference.rbs_fit.composition import Composition, composition, total
from sdl_bluesky.inference.rbs_fit.fitting import fit, fit_joint
from sdl_bluesky.inference.rbs_fit.information import cramer_rao, information
from sdl_bluesky.inference.rbs_fit.likelihood import LIKELIHOODS, deviance, paper_chi2
from sdl_bluesky.inference.rbs_fit.profile import Fraction, Interval, Total, profile
from sdl_bluesky.inference.rbs_fit.result import FitResult, chi2_limit
from sdl_bluesky.inference.rbs_fit.suspects import Suspects, suspects

__all__ = [
    "LIKELIHOODS",
    "Autofit",
    "Composition",
    "FitResult",
    "Fraction",
    "Interval",
    "Suspects",
    "Total",
    "autofit",
    "chi2_limit",
    "composition",
    "cramer_rao",
    "deviance",
    "fit",
    "fit_joint",
    "information",
    "paper_chi2",
    "profile",
    "suspects",
    "total",
]
