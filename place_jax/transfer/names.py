"""How scores are named: TASK/SPLIT/.../METRIC, in words that need no quoting."""

import re


def snake_case(label: str) -> str:
    """`Pleural Effusion` to `pleural_effusion`."""
    return re.sub(r"\W+", "_", label.strip().lower()).strip("_")


def percent(fraction: float) -> str:
    """0.01 to `1_percent`, 1 to `100_percent`."""
    return f"{100 * fraction:g}_percent"
