"""The registry: names, versions, aliases and an append-only log of what was done to them, over blobs by digest."""
