"""Training methods beside each other on a real corpus."""
