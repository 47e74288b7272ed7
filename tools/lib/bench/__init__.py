"""Benchmarks: workloads, the systems that they are run on, and how results are reported."""
