"""Locks: what a package's environment is made of, to the byte, on one platform."""
