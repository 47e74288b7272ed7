"""Recording: learn from what jobs open which files a frame needs."""
