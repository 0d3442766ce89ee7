"""sdl_bluesky.demo"""
