"""Raw files to TFRecords to batches. Imports no JAX and nothing from place_jax."""
