"""Bytes in and out: sources, GGUF, safetensors, adapters."""
