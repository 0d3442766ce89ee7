"""From runs in the catalogue to results in the catalogue: rates, rate surfaces, composition maps, measured films.

`jobs.analyse_run` is the one function behind two doors: `doors.AnalysisCallback` calls it when a run ends, and anybody
calls it for any run, also one that was made on another machine. Everything is read back from the catalogue by uid.
"""
