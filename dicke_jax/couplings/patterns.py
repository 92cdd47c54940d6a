"""Patterns: rows of +-1, one for each mode."""

import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8, PRNGKeyArray

from .._checks import as_float, as_probability, check_count, check_finite, check_real, check_shape, refuse
from .._door import checked
from .._typing import ArrayLike

BYTES = 5  # of an entry while it is drawn: a random word of four, and the sign
MOST_GIGABYTES = 64


@checked
def random_patterns(key: PRNGKeyArray, num_patterns: int, num_spins: int) -> Int8[Array, "M N"]:
    """G[mu, k] = +1 or -1 with equal probability, independently: M patterns of N_sp spins (paper, below Eq. 2).

    Stored in one byte an entry, so that ten million spins with eight patterns take 80 MB.

    - `key`: decides the signs; `num_patterns`: M; `num_spins`: N_sp.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> dj.random_patterns(jax.random.key(0), num_patterns=2, num_spins=5).shape
        (2, 5)
    """
    check_count("num_patterns", num_patterns)
    check_count("num_spins", num_spins)
    if (gigabytes := BYTES * num_patterns * num_spins / 1e9) > MOST_GIGABYTES:
        must_be = f"so small that {num_patterns} patterns are drawn in {MOST_GIGABYTES} GB"
        refuse("num_spins", must_be, f"{num_spins}, which take {gigabytes:.3g} GB")
    return jax.random.rademacher(key, (num_patterns, num_spins), dtype=jnp.int8)


@checked
def pattern_overlaps(patterns: ArrayLike, sigma_z: ArrayLike) -> Float[Array, " M"]:
    """xi_mu = (1/N_sp) sum_k G[mu, k] <sigma_z^(k)>, the overlap of single spins with every pattern.

    `patterns` is the raw G of shape (M, N_sp), `sigma_z` has shape (N_sp,). Paper, above Eq. 12.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> dj.pattern_overlaps([[1, 1], [1, -1]], [1.0, 0.5]).tolist()
        [0.75, 0.25]
    """
    rows, z = jnp.asarray(patterns), as_float(sigma_z)
    if rows.ndim != 2:
        refuse("patterns", "of shape (M, N_sp)", f"shape {rows.shape}")
    check_shape("sigma_z", z, rows.shape[1:], "one value for each spin of the patterns")
    return jnp.matmul(rows.astype(z.dtype), z, precision="highest") / z.size


@checked
def image_patterns(images: ArrayLike | Sequence[str | os.PathLike[str]]) -> Int8[Array, "M rows columns"]:
    """Pictures as patterns: +1 where a pixel is brighter than the middle of its picture's range, else -1.

    `images`: an array of shape (M, rows, columns), or paths of as many PNG files of one size, which are read in grey.
    As patterns of spins they are `image_patterns(images).reshape(M, -1)`.

    **Raises** ValueError for pictures of several sizes, or of one brightness; OSError for files that cannot be read.

    **Example**

        >>> dj.image_patterns(np.array([[[0, 9], [9, 0]]])).tolist()
        [[[-1, 1], [1, -1]]]
    """
    if isinstance(images, list | tuple) and images and all(isinstance(image, str | os.PathLike) for image in images):
        from PIL import Image

        grey = []
        for path in images:
            with Image.open(path) as image:
                grey.append(np.asarray(image.convert("L"), dtype=float))
        if len({picture.shape for picture in grey}) > 1:
            refuse("images", "pictures of one size", f"sizes {[picture.shape for picture in grey]}")
        pixels = np.stack(grey)
    else:
        check_real("images", images, "real numbers, or paths of pictures")
        pixels = np.asarray(images, dtype=float)
    if pixels.ndim != 3 or 0 in pixels.shape:
        refuse("images", "of shape (M, rows, columns), or paths of pictures", f"shape {pixels.shape}")
    check_finite("images", pixels)
    darkest, brightest = pixels.min(axis=(1, 2), keepdims=True), pixels.max(axis=(1, 2), keepdims=True)
    if np.any(darkest == brightest):
        refuse("images", "pictures of more than one brightness", "a uniform one")
    middle = (darkest + brightest) / 2
    return jnp.asarray(np.where(pixels > middle, 1, -1), jnp.int8)


@checked
def flip_spins(key: PRNGKeyArray, configuration: ArrayLike, flip: ArrayLike) -> Array:
    """A configuration of single spins with every entry's sign changed with probability `flip`, independently.

    - `key`: decides which; `configuration`: signs of any shape; `flip`: from 0 to 1, one number or of that shape.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> dj.flip_spins(jax.random.key(0), np.array([1, -1, 1]), 1.0).tolist()
        [-1, 1, -1]
    """
    spins = jnp.asarray(configuration)
    return jnp.where(jax.random.bernoulli(key, as_probability("flip", flip), spins.shape), -spins, spins)
