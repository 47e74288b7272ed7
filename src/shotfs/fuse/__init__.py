"""The kernel adapter: inodes, bytes and errnos to `vfs` calls and back."""
