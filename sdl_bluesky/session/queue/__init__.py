"""Campaigns in a process of their own, whose experiments a queue server does."""
