"""Moved to `app.checks.layers`."""

from app.checks.layers import *  # noqa: F403
