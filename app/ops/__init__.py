"""One file per operation: records its forward and backward into a graph."""
