"""Training of all weights of a model."""
