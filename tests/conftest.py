"""Eight simulated devices, a compile cache shared by all tests, and one small prepared PhantomCXR.

The environment is set before jax is imported anywhere.
"""

import os
import pathlib
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests compile much and run little: without the compiler's optimisations they take half the time.
for flag in (
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
):
    if flag.partition("=")[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", os.path.join(tempfile.gettempdir(), "place_jax_test_compilations")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def phantom_dir(tmp_path_factory) -> pathlib.Path:
    """A prepared PhantomCXR of a few hundred 64-pixel images, made once."""
    from data_pipelines.prepare import prepare
    from data_pipelines.sources.phantom import PhantomSource

    out = tmp_path_factory.mktemp("phantom") / "data"
    prepare(
        PhantomSource(config="easy", patients=200, size=64, seed=0),
        out,
        image_size=64,
        vocab_size=600,
        shards=8,
        workers=1,
    )
    return out


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real radiographs that PLACE_REAL_DATA names; the test is skipped without."""
    folder = os.environ.get("PLACE_REAL_DATA", "")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("PLACE_REAL_DATA does not name a folder of real radiographs")
    return pathlib.Path(folder)
