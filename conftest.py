"""Keep `pytest .` whole: the links at the top lead to packages that are collected by their real path."""

collect_ignore = ["devices", "plans", "agents", "startup", "build"]
