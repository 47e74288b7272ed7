"""Tiers on object stores, web servers and plain directories."""
