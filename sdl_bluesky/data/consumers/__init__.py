"""What consumers of the catalogue are given: keys that can read and end, and news of a campaign as they come.

`keys` makes, lists and revokes keys; `follow` tells decisions and results, rung by the server's websockets (`bell`).
`access` is the server's side: who has which key, and which containers a key opens.
"""
