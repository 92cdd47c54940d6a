"""Every test runs in float64, with strict promotion, and with the annotations of the package executed."""

import jax
from hypothesis import settings
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("project", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("project")

with install_import_hook("dicke_jax", "beartype.beartype"):
    pass
