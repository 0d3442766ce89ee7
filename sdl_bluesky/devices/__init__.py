"""sdl_bluesky.devices"""

if __name__ == "devices":
    raise ImportError("this folder is sdl_bluesky.devices: import it by that name")
