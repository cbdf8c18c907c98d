"""Scores that the data card states, by config. Written by benchmarks/phantom_card.py."""

MEASURED: dict[str, dict[str, float | str]] = {}
