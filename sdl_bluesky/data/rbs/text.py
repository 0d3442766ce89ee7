"""From the bytes of a file to its text and numbers, or to the reason why that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

from sdl_bluesky.errors import DataFileError

LARGEST_BYTES = 64 * 2**20
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""What these files write for a number; neither nan, nor inf, nor 1_000."""


def read_bytes(path: Path, error: type[DataFileError]) -> bytes:
    """The content of a file.

    Raises:
        DataFileError: (as `error`) the file is missing, cannot be read, is empty, or is larger than any of its kind.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise error(path, f"{size} bytes are more than any file of this kind has; give another file")
        data = path.read_bytes()
    except OSError as fault:
        raise error(path, f"cannot be read ({fault.strerror}); give the path of an existing file") from fault
    if not data.strip():
        raise error(path, "the file is empty; it was probably cut short: fetch it again")
    return data


def decode(data: bytes, where: str, error: type[DataFileError], fallback: str | None = None) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark.

    Args:
        data: content of the file.
        where: name of the file, for the message.
        error: kind of error to raise.
        fallback: encoding to use for what is not UTF-8 (old files), or nothing.

    Raises:
        DataFileError: (as `error`) the content is binary or in another encoding.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise error(where, "the text is in UTF-16: save it as UTF-8 or plain ASCII")
    if b"\0" in data:
        raise error(where, "the file is binary, not text: export the data as text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        if fallback is not None:
            return data.decode(fallback)
        line = data.count(b"\n", 0, fault.start) + 1
        raise error(where, "this is not UTF-8 text: save it as UTF-8, or export it as text", line) from fault


def number(token: str) -> float | None:
    """The number that a token writes, or None if it is none (or too large to be one)."""
    if NUMBER.fullmatch(token) is None:
        return None
    value = float(token)
    return value if abs(value) < float("inf") else None


def shown(text: str, longest: int = 40) -> str:
    """A piece of a file as it stands in a message."""
    text = text.strip()
    return repr(text if len(text) <= longest else text[:longest] + " ...")
