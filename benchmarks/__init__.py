"""Comparisons side by side in one run: `python -m benchmarks.NAME [--json]` exits 1 naming each bar that is missed."""
