"""shotfs: a FUSE file system and just-in-time file cache for render farms."""
