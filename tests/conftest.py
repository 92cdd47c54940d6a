"""Every test runs in float64, with strict promotion, and with the annotations of the package executed."""

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("project", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("project")

with install_import_hook("dicke_jax", "beartype.beartype"):
    import dicke_jax as dj
    import dicke_jax.plotting
    import dicke_jax.studies


@pytest.fixture(scope="session")
def paper_model() -> dj.DickeModel:
    """The model of the paper's Fig. 3, at a coupling where all four patterns are stable."""
    from problems import paper

    return paper(1.2)
