"""sdl_bluesky.inference"""
