"""A whole run: what it is of, what accompanies it, what is kept of it."""
