"""Peaks of the accelerators that plans and MFU are counted against: one table, with its sources.

TPUs: Google Cloud's tables of TPU versions, bf16 peak, HBM, ICI and DCN per chip
(https://docs.cloud.google.com/tpu/docs/tpu7x, .../v6e, .../v5e and .../v5p, read in 2026). v3 and
v4, which those leave partly out: table "TPU specs" of "How to Scale Your Model"
(https://jax-ml.github.io/scaling-book/tpus), whose 2.5e10 bytes/s a host is their DCN.
GPUs: NVIDIA's datasheets of the A100 80GB SXM, H100 SXM and H200 SXM, dense bf16 without sparsity;
NVLink stands for ICI there.
"""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip, as it is sold.

    Attributes:
      name: as users write it.
      device_kinds: what JAX calls its devices, in lower case; the first words are compared.
      peak_flops: bf16 floating-point operations a second, dense.
      hbm_bytes: of memory.
      hbm_bandwidth: bytes a second.
      link_bandwidth: bytes a second that one link to a neighbour sends one way; of a GPU, all of
        its links.
      dcn_bandwidth: bytes a second to other slices.
      torus: axes of its interconnect; 0 where every chip reaches every other.
      chips_per_host: as Google builds them.
      devices: that JAX sees in one chip.
      wraps_at: an axis of a slice closes to a ring where it is a multiple of this.
    """

    name: str
    device_kinds: tuple[str, ...]
    peak_flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    link_bandwidth: float
    dcn_bandwidth: float
    torus: int
    chips_per_host: int
    devices: int = 1
    wraps_at: int = 4


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v3", ("tpu v3",), 1.23e14, 32 * GIB, 9.0e11, 1.0e11, 3.1e9, 2, 4, devices=2),
        Chip("v4", ("tpu v4",), 2.75e14, 32 * GIB, 1.2e12, 4.5e10, 6.25e9, 3, 4),
        Chip(
            "v5e",
            ("tpu v5 lite", "tpu v5e"),
            1.97e14,
            16 * GIB,
            8.0e11,
            5.0e10,
            3.125e9,
            2,
            8,
            wraps_at=16,
        ),
        Chip("v5p", ("tpu v5", "tpu v5p"), 4.59e14, 95 * GIB, 2.765e12, 1.0e11, 6.25e9, 3, 4),
        Chip(
            "v6e",
            ("tpu v6 lite", "tpu v6e"),
            9.18e14,
            32 * GIB,
            1.638e12,
            1.0e11,
            1.25e10,
            2,
            8,
            wraps_at=16,
        ),
        Chip("tpu7x", ("tpu7x", "tpu v7x"), 2.307e15, 192 * GIB, 7.38e12, 1.0e11, 1.25e10, 3, 4, 2),
        Chip("a100", ("nvidia a100",), 3.12e14, 80 * GIB, 2.0e12, 3.0e11, 2.5e10, 0, 8),
        Chip("h100", ("nvidia h100",), 9.89e14, 80 * GIB, 3.35e12, 4.5e11, 5.0e10, 0, 8),
        Chip("h200", ("nvidia h200",), 9.89e14, 141 * GIB, 4.8e12, 4.5e11, 5.0e10, 0, 8),
    )
}


def chip_of(device_kind: str) -> Chip | None:
    """The chip of `jax.Device.device_kind`, or None for one that the table does not have."""
    kind = device_kind.lower()
    found = [
        (len(name), chip)
        for chip in CHIPS.values()
        for name in chip.device_kinds
        if kind == name or kind.startswith(name + " ") or kind.startswith(name + "-")
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def peak_flops_of(device_kind: str) -> float | None:
    """bf16 operations a second of one JAX device, or None where the table does not have it."""
    chip = chip_of(device_kind)
    return chip.peak_flops / chip.devices if chip else None
