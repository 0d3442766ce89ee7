"""Simulated instruments as real EPICS IOCs, with physics of their own."""
