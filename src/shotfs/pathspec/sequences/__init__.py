"""Sequences: paths that differ in a frame, a tile or a view, and the tokens that stand for it."""

from shotfs.pathspec.sequences.expanding import (
    Expansion,
    Match,
    Question,
    TokenPath,
    expansion,
    lacking,
)
from shotfs.pathspec.sequences.patterns import SequencePattern, open_in, sequence_of
from shotfs.pathspec.sequences.ranges import missing, ranges
from shotfs.pathspec.sequences.tokens import (
    STYLES,
    PathToken,
    find_tokens,
    token_problem,
    tokens_for,
)

__all__ = [
    "STYLES",
    "Expansion",
    "Match",
    "PathToken",
    "Question",
    "SequencePattern",
    "TokenPath",
    "expansion",
    "find_tokens",
    "lacking",
    "missing",
    "open_in",
    "ranges",
    "sequence_of",
    "token_problem",
    "tokens_for",
]
