"""Text: tokens, chat templates and training corpora."""
