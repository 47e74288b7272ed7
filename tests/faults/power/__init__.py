"""Power loss: block writes of a real file system are recorded, cut off, and recovered from."""
