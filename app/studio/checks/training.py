"""Moved to `app.checks.training`."""

from app.checks.training import *  # noqa: F403
