"""A value that the models refuse, with what to write instead."""

from __future__ import annotations


class Mistake(ValueError):
    """Raised by validators; pydantic carries it to `problems`, which prints both parts.

    Args:
        message: what is wrong. Never the value of something that may be a secret.
        fix: what to write instead.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}; {fix}")
        self.message = message
        self.fix = fix
