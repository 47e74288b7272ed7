"""The crash campaign for outputs: writers and killers, and a judge who compares."""
