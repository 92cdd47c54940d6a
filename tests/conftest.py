"""Every test runs in float64, with strict promotion, and with the annotations of the package executed."""

import gc
import itertools
from pathlib import Path

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# JAX traces into hundreds of thousands of objects that live on: with Python's threshold of 700, looking through them
# for cycles took a twelfth of a file's time. Some files' cycles go together, below.
gc.set_threshold(100_000, 20, 20)

settings.register_profile("project", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("project")

# An int is a float, as type checkers have it; without `with`, the hook stays for modules that are imported later.
install_import_hook("dicke_jax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def pytest_configure(config):
    """What one worker, test or session has compiled, the next one finds, in pytest's own cache."""
    if config.pluginmanager.hasplugin("cacheprovider"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


FILES_TOGETHER = 6
MOST_MAPS = 16_384  # pieces of memory that programs lie in; Linux ends a process that asks for more than 65,530
_files = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def _forget_what_other_files_compiled():
    """A worker that kept every program of every file grew to 5 GB; to forget after each takes a thirtieth of a run."""
    yield
    if next(_files) % FILES_TOGETHER == 0 or _maps() > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


def _maps() -> int:
    maps = Path("/proc/self/maps")
    return len(maps.read_bytes().splitlines()) if maps.exists() else 0
