"""Nuke reads this in each directory of NUKE_PATH: paths of shows become local files."""

import shotfs_nuke

shotfs_nuke.install()
