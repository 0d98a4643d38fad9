"""Parts of a decoder: what an operation does, with its weights and its adapter."""
