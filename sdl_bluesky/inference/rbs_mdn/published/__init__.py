"""The mixture density network of the literature, to compare with: Muzakka et al., Sci. Rep. 14 (2024), CNN, GRU, mixture.

    published = make_published(system, layout_of("A"), Schedule())     # hours on a processor
    published.predict(counts).mean

Everything is as the paper prints it. What it does not print is named where it is chosen: `scaling` (the smoothing),
`network` (padding, which hidden states, non-linearities of the head), `training` (rates, batch, decay). Its ablations (no
GRU, more components, regression to a point) are options of `Layout`.
"""

from __future__ import annotations

from sdl_bluesky.inference.rbs_mdn.published.examples import Measured, measure
from sdl_bluesky.inference.rbs_mdn.published.model import Published, load_published, make_published, save_published
from sdl_bluesky.inference.rbs_mdn.published.network import Layout, PublishedNetwork, layout_of
from sdl_bluesky.inference.rbs_mdn.published.prediction import Prediction
from sdl_bluesky.inference.rbs_mdn.published.scaling import Scaling, scaling_of
from sdl_bluesky.inference.rbs_mdn.published.training import Schedule

__all__ = [
    "Layout",
    "Measured",
    "Prediction",
    "Published",
    "PublishedNetwork",
    "Scaling",
    "Schedule",
    "layout_of",
    "load_published",
    "make_published",
    "measure",
    "save_published",
    "scaling_of",
]
