"""Importing the client libraries of the clouds, which may happen in several threads at once.

Both requests (which gcsfs imports) and botocore (which s3fs imports) change Python's filters of
warnings while they are imported, and botocore puts back those that it found: what requests set in
between is lost. Where warnings are errors, requests is then left imported by half for good.
"""

from __future__ import annotations

import threading

IMPORTING = threading.Lock()
"""Hold it while a client library is imported, and for nothing slower."""
