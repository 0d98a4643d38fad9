"""LoRA Lab: fine-tune a language model on WebGPU, in a browser tab or from the command line."""

__version__ = "0.1.0"
