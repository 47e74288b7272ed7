"""Control: what a running service can be asked, over HTTP on a Unix socket."""
