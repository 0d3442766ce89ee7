"""sdl_bluesky.agents"""

if __name__ == "agents":
    raise ImportError("this folder is sdl_bluesky.agents: import it by that name")
