"""Moved to `app.checks.bench`."""

from app.checks.bench import *  # noqa: F403
