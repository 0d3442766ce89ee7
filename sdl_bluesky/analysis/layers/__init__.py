"""Epitaxial layers: photoluminescence maps and theta-2theta scans to wavelength, lattice constant and composition.

reduce_map(wavelength_nm, x_mm, y_mm) -> MapReduction       a map to its mean
reduce_spectrum(wavelength_nm, counts) -> PeakReduction     a spectrum to its peak
reduce_scan(two_theta_deg, counts) -> ScanReduction         a scan to the mismatch across the layer
reduce_layer(light, scan, strain) -> LayerResult            both to a layer
"""

from __future__ import annotations

from sdl_bluesky.analysis.layers.maps import MapReduction, reduce_map
from sdl_bluesky.analysis.layers.result import LayerResult, reduce_layer
from sdl_bluesky.analysis.layers.scan import ScanReduction, reduce_scan
from sdl_bluesky.analysis.layers.spectrum import PeakReduction, reduce_spectrum
from sdl_bluesky.analysis.layers.stack import Stack

__all__ = [
    "LayerResult",
    "MapReduction",
    "PeakReduction",
    "ScanReduction",
    "Stack",
    "reduce_layer",
    "reduce_map",
    "reduce_scan",
    "reduce_spectrum",
]
