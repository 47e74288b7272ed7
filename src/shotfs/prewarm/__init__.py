"""Prewarm: bring files here before somebody opens them.

`manifest` says what a frame needs, `recording` learns it from what jobs open, `scanners` read it
from scene files. Nothing here knows of the mount; what a path is, `finding.Finder` says.
"""
