"""From documents to the catalogue and back.

The road of a document: `log.DocumentLog` (a line in a file, before anything else) -> `writer` (a process of its own
that reads the log) -> a Tiled server (`server`) -> the readers of `catalogue` and `analysis`. The log is the truth:
what Tiled holds can be made again from it at any time (`replay`). Nothing here is imported before it is needed.
"""
