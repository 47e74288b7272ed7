"""The demo: a small show in a bucket, rendered through a mount by a real renderer."""
