"""prewarm"""
