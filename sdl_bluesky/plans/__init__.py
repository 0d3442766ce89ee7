"""sdl_bluesky.plans"""

if __name__ == "plans":
    raise ImportError("this folder is sdl_bluesky.plans: import it by that name")
