"""Learning rates that fall towards the input: what pre-training learned there changes least."""

import jax
import jax.numpy as jnp

from place_jax.parallel.partition import path_string


def layer_scales(params: dict, decay: float) -> dict:
    """What to multiply each update of an image encoder by: decay^(layers above it).

    The head and the last norm stand above all D blocks (1), block i below D - i of them, the stem,
    positions and tokens below D + 1, as in BEiT (arXiv 2106.08254).

    Args:
      params: {"image": of the encoder, "head": ...}; stacked blocks have a leading axis of D.
      decay: of one layer.

    Returns:
      A tree of arrays that broadcast over the parameters'.
    """
    depth = len(jax.tree.leaves(params["image"]["blocks"])[0])
    of_block = decay ** jnp.arange(depth, 0, -1, dtype=jnp.float32)

    def one(path, leaf):
        name = path_string(path)
        if name.startswith("image/blocks/"):
            return of_block.reshape((depth,) + (1,) * (leaf.ndim - 1))
        above = name.startswith(("head/", "image/norm/"))
        return jnp.float32(1.0 if above else decay ** (depth + 1))

    return jax.tree_util.tree_map_with_path(one, params)
