"""sdl_bluesky.session"""
