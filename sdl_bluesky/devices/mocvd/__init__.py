"""The MOCVD reactor, its PL mapper and its diffractometer. Import the names from `sdl_bluesky.devices`."""
