"""Importers: documents of other path systems as path specifications, with a report."""

from shotfs.pathspec.importers.convert import SYSTEMS, System, convert
from shotfs.pathspec.importers.draft import document_text
from shotfs.pathspec.importers.report import Finding, ImportReport, Severity
from shotfs.pathspec.importers.tk_core import includes

__all__ = [
    "SYSTEMS",
    "Finding",
    "ImportReport",
    "Severity",
    "System",
    "convert",
    "document_text",
    "includes",
]
