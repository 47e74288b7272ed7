"""pathspec"""
