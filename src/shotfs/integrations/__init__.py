"""Integrations: prewarm, pin and release from render managers and applications."""
