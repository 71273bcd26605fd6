"""Measures the router: ``make bench``, or ``python -m bench ROW …``."""
