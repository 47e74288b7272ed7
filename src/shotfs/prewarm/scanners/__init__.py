"""Scanners: read from scene files what a render of them needs."""
