"""Model architectures and how their weights are loaded."""
