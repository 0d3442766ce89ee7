"""Opens the lab of `lab.yml`, for IPython (`sdl shell`) and for the worker of a queue server alike."""

from pathlib import Path

from sdl_bluesky.session.startup import interactive, start

globals().update(start(Path(__file__).with_name("lab.yml")))
interactive(globals())
