"""Composition maps: what all films of a chamber have in common, and what one film holds."""
