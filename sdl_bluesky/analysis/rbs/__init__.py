"""Analysis of backscattering spectra: what a film holds at the points that were measured."""
