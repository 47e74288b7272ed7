"""Campaigns: long runs that look for what no short test finds."""
