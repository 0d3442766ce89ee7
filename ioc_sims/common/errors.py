"""Errors that end a simulated instrument with one clear line."""

from __future__ import annotations


class SimulationError(Exception):
    """Base of the errors that a simulated instrument raises on purpose."""


class ConfigError(SimulationError, ValueError):
    """The configuration cannot be used; the message names the file, the key and the fault."""


class StateError(SimulationError):
    """The state file cannot be resumed: unreadable, or it belongs to another chamber."""


class PortBusy(SimulationError):
    """Another process listens on the Channel Access port."""


class RequestError(SimulationError, ValueError):
    """A request of a study cannot be done; the message says which part of it and why."""


class JudgeError(SimulationError):
    """The judge cannot compare: truth or results are missing or do not cover each other."""
