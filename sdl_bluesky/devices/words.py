"""What `%wa` can show."""

from __future__ import annotations


class Word(str):
    """A text that survives `numpy.round`: bluesky's `%wa` rounds positions, limits and offsets before it prints
    them."""

    __slots__ = ()

    def round(self, decimals: int = 0, out: object = None) -> Word:
        """The text itself."""
        return self


class NoOffset:
    """`%wa` asks every positioner for `user_offset`; ours have none, and show a dash."""

    def get(self) -> Word:
        """A dash."""
        return Word("-")
