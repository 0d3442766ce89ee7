"""A self-driving thin-film laboratory on Bluesky.

The package is light to import: nothing heavy is loaded before a module that needs it.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sdl-bluesky")
except PackageNotFoundError:  # a plain clone on sys.path
    __version__ = "0+unknown"

__all__ = ["__version__"]
