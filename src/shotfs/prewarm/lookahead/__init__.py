"""Look-ahead: bring what a job opens next while it works on what it has opened. Start reading in
`watch.py`.
"""

from shotfs.prewarm.lookahead.watch import LookAhead

__all__ = ["LookAhead"]
