"""The kernel adapter: inodes, bytes and errnos to `vfs` calls and back."""

from shotfs.fuse import helper as helper  # before anything imports pyfuse3
