"""Integrations: files for render managers and applications, and where they go. Package data.

Nothing here is imported by shotfs: `shotfs integrations install` copies the files.
"""
