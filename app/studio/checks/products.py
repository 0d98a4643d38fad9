"""Moved to `app.checks.products`."""

from app.checks.products import *  # noqa: F403
