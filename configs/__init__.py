"""Runnable experiments, one file each: `get_config(arg) -> ml_collections.ConfigDict`."""
