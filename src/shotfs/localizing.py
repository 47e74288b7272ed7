"""Localizing: a path of a show becomes a file on a local disk, where FUSE is not allowed."""
