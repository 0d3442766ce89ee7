"""The compiled kernels of the forward model."""
