"""The dashboard: one run, or all, in a terminal."""

from .app import DashboardApp, watch
from .source import RunSource

__all__ = ["DashboardApp", "RunSource", "watch"]
