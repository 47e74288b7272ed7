"""Observability: the metric table, structured logs, the event loop's watchdog."""

from shotfs.observe.bound import Bound
from shotfs.observe.logs import LogWriter, configure
from shotfs.observe.loop_lag import watch
from shotfs.observe.metrics import Metrics

__all__ = ["Bound", "LogWriter", "Metrics", "configure", "watch"]
