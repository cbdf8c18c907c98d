"""Which axis of which parameter lies on which mesh axis: a list of (path regex, rule)."""

import enum
import math
import re
from collections.abc import Sequence

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# A model whose parameters are whole on every device does not grow with the mesh.
MAX_UNSHARDED = 0.02


class Rule(enum.Enum):
    """How one parameter lies on the mesh. Stacked layers' leading axis is never split."""

    REPLICATED = "replicated"
    LARGEST_FSDP = "largest axis that divides, over fsdp"
    COLUMNS = "last axis over tensor, the one before over fsdp"
    ROWS = "axis before the last over tensor, the last over fsdp"


DEFAULT_RULES: tuple[tuple[str, Rule], ...] = (
    (r"blocks/.*(query|key|value|up)/kernel$", Rule.COLUMNS),
    (r"blocks/.*(out|down)/kernel$", Rule.ROWS),
    (r"blocks/.*(query|key|value|up)/bias$", Rule.COLUMNS),
    (r"logit_(scale|bias)/", Rule.REPLICATED),
    (r".*", Rule.LARGEST_FSDP),
)


def path_string(path: Sequence) -> str:
    """A pytree path as words with slashes: image/blocks/attention/query/kernel."""
    return "/".join(str(getattr(p, "key", getattr(p, "name", getattr(p, "idx", p)))) for p in path)


def _spec(rule: Rule, shape: tuple[int, ...], path: str, mesh: Mesh) -> PartitionSpec:
    first = 1 if "blocks/" in path else 0  # the stacked layers' axis
    axes: list[str | None] = [None] * len(shape)

    def place(axis: int, name: str) -> None:
        if first <= axis < len(shape) and shape[axis] % mesh.shape[name] == 0:
            axes[axis] = name

    if rule is Rule.COLUMNS:
        place(len(shape) - 1, "tensor")
        place(len(shape) - 2, "fsdp")
    elif rule is Rule.ROWS:
        place(len(shape) - 2, "tensor")
        place(len(shape) - 1, "fsdp")
    elif rule is Rule.LARGEST_FSDP:
        fits = [a for a in range(first, len(shape)) if shape[a] % mesh.shape["fsdp"] == 0]
        if fits:
            axes[max(fits, key=lambda a: shape[a])] = "fsdp"
    return PartitionSpec(*axes)


def param_shardings(params, mesh: Mesh, rules: Sequence[tuple[str, Rule]] = DEFAULT_RULES):
    """A tree of NamedSharding for a tree of parameters, or of optimizer state: paths are searched.

    Args:
      params: nested dictionaries of arrays or ShapeDtypeStructs.
      mesh: from `make_mesh`.
      rules: the first whose regex is found in the path decides.

    Raises:
      ValueError: on a mesh with fsdp > 1, more than MAX_UNSHARDED of the numbers stay whole.
    """
    whole = total = 0
    largest = (0, "")

    def one(path, leaf) -> NamedSharding:
        nonlocal whole, total, largest
        name = path_string(path)
        rule = next(rule for pattern, rule in rules if re.search(pattern, name))
        spec = _spec(rule, leaf.shape, name, mesh)
        size = math.prod(leaf.shape)
        total += size
        if math.prod(mesh.shape[axis] for axis in spec if axis) == 1:
            whole += size
            largest = max(largest, (size, name))
        return NamedSharding(mesh, spec)

    shardings = jax.tree_util.tree_map_with_path(one, params)
    if mesh.shape["fsdp"] > 1 and whole > MAX_UNSHARDED * total:
        raise ValueError(
            f"{whole / total:.1%} of the parameters stay whole on every device, over the "
            f"{MAX_UNSHARDED:.0%} allowed with mesh.fsdp={mesh.shape['fsdp']}; the largest is "
            f"{largest[1]}: choose widths that are multiples of {mesh.shape['fsdp']}, or a rule"
        )
    return shardings
