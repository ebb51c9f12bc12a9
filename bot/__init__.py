"""A Slack bot for the people who run a fleet of Meshtech gateways."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("meshbot")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "unknown"
