"""Servers that the router is measured against. They store nothing."""
