"""Starting, watching and ending programs; what tools/demo and tools/bench share."""
