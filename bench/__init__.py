"""Benchmarks: measured by hand, never in CI. `python -m bench --help`."""
