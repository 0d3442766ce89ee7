"""sdl_bluesky.bench"""
