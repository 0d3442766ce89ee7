"""The RBS end station: beam, sample stage, sample loader, acquisition. Import the names from `sdl_bluesky.devices`."""
