"""Energies: functions of intensive variables, and what can be seen of such a function without running it."""

import abc
import contextlib
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import closes_over_traced, refuse
from .site_levels import levels_of, mean_values, size_of

NAMES = "s.x, s.y, s.z, s.m, s.expect(L), s.alpha, s.photons, s.weights and s.t"
SPINS_ALONE = "x", "y", "z"
Numbers: TypeAlias = Array | np.ndarray  # of NumPy's arrays indices are looked at: `check_function`
ROUGH = {"abs", "sign", "floor", "ceil", "round", "max", "min", "reduce_max", "reduce_min", "argmax", "argmin"}


class IntensiveVariables(eqx.Module):
    """What an energy and a collective jump are functions of: s, by name.

    - `x`, `y`, `z`: (K,), the mean Bloch vectors of the ensembles, `s.x` and so on; `m`: (3, K), all of them. Of sites
      with d levels `s.m` is (d^2 - 1, K), and there are no x, y and z. `spins` is `m`, or the tuple of its rows.
    - `s.expect(L)`: (K,), the mean of a site operator, a dxd matrix; real where its numbers are known to be Hermitian,
      complex for others and for parameters.
    - `alpha`: (M,), complex, alpha_mu = <a_mu> / sqrt(N); `photons`: (M,), |alpha_mu|^2.
    - `light`: Re and Im alpha.
    - `weights`: (K,), w_k, the share of all spins that each ensemble holds.
    - `t`: the time.
    """

    spins: Any  # m, or the tuple of its rows: gradients by rows are not put into one array again and again
    light: Any  # Re and Im alpha alike
    weights: Float[Numbers, " K"]
    t: Float[Numbers, ""]

    @property
    def m(self) -> Float[Numbers, "B K"]:
        return jnp.stack(self.spins) if isinstance(self.spins, tuple) else self.spins

    @property
    def x(self) -> Float[Numbers, " K"]:
        return self._of_spins("x")

    @property
    def y(self) -> Float[Numbers, " K"]:
        return self._of_spins("y")

    @property
    def z(self) -> Float[Numbers, " K"]:
        return self._of_spins("z")

    def _of_spins(self, name: str) -> Any:
        if len(self.spins) != 3:
            raise UnknownVariable(name)
        return self.spins[SPINS_ALONE.index(name)]

    def expect(self, operator: Any) -> Any:
        """Tr(rho_k L), in each ensemble."""
        m = self.m
        levels = levels_of(m.shape[0]) or 0
        matrix = operator if isinstance(operator, jax.Array) else np.asarray(operator)
        if matrix.shape != (levels, levels) or matrix.dtype.kind not in "biufc":
            raise UnknownVariable(f"expect(L) of L of shape {matrix.shape}, sites having {levels} levels")
        re, im = mean_values(matrix, m)
        if isinstance(matrix, np.ndarray) and np.array_equal(matrix, matrix.conj().T):
            return re
        return re + 1j * im if isinstance(re, np.ndarray) else jax.lax.complex(re, im)

    @property
    def alpha(self) -> Complex[Numbers, " M"]:
        re, im = self.light
        return re + 1j * im if isinstance(re, np.ndarray) else jax.lax.complex(re, im)

    @property
    def photons(self) -> Float[Numbers, " M"]:
        re, im = self.light
        return re**2 + im**2

    def __getattr__(self, name: str) -> NoReturn:
        raise (AttributeError(name) if name.startswith("_") else UnknownVariable(name))


class UnknownVariable(AttributeError):
    """A name that the intensive variables have not."""


class Energy(eqx.Module):
    """The energy of one site, h(m, alpha), of a `CollectiveModel`: H = N h.

        class TwoPhoton(dj.Energy):
            omega: Array
            splitting: Array
            g: Array

            def __call__(self, s):
                light = self.omega * s.photons[0] + self.g * jnp.real(s.alpha[0] ** 2) * s.x[0]
                return light + self.splitting * s.z[0] / 2

    s holds the `IntensiveVariables`. A polynomial is the energy of an operator, for which the mean field is exact; any
    smooth function runs. |alpha|^2 is s.photons: jnp.abs has no second derivative at 0.

    Its fields are the parameters, numbers and arrays, differentiable all. Each may depend on time, as the rates of
    `DickeModel` may: where a function of time, a `PiecewiseLinear` or a diffrax path is given in place of the number,
    the energy is called with its value. What is no such parameter (an exponent, another function) is a static field:
    `p: int = eqx.field(static=True)`.

    **Example**

        >>> class Twisted(dj.Energy):
        ...     twist: jax.Array
        ...     def __call__(self, s):
        ...         return -self.twist * s.x[0] ** 2 / 2
        >>> model = dj.CollectiveModel(Twisted(2.0))
        >>> print(model.replace(twist=3.0).energy.twist)
        3.0
    """

    @abc.abstractmethod
    def __call__(self, s: IntensiveVariables) -> Any:
        """One real number."""


def check_function(
    name: str,
    function: Callable[[Any], Any],
    sizes: tuple[int, int],
    dtype: Any,
    parameters: Any,
    levels: int = 2,
) -> tuple[tuple[int, ...], Any, bool]:
    """Shape and kind of what a function of K ensembles and M modes gives, and whether it looks at the time.

    It is traced, not run. Refused where it asks for variables or entries that are not there, is not smooth, or closes
    over traced numbers that are not among its parameters: they would lose their derivatives.
    """
    K, M = sizes
    weights, shapes = np.full(K, 1 / K, dtype), ((size_of(levels), K), (2, M), ())

    def of(m: Any, quadratures: Any, t: Any) -> Any:
        return function(IntensiveVariables(m, quadratures, jnp.asarray(weights), t))

    def of_arrays_of_numpy() -> Any:  # of these an index is looked at; of traced ones it is moved to the nearest entry
        with contextlib.suppress(AttributeError, TypeError):  # what only JAX's arrays do
            return of(*(np.zeros(shape, dtype) for shape in shapes))

    try:
        traced, gives = jax.make_jaxpr(of, return_shape=True)(*(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))
        jax.eval_shape(of_arrays_of_numpy)
    except UnknownVariable as unknown:
        hint = " (of sites with more than two levels no x, y, z)" if str(unknown) in SPINS_ALONE else ""
        refuse(name, f"a function of {NAMES}{hint}", f"s.{unknown}")
    except IndexError as error:
        refuse(name, f"a function of {K} ensembles of spins and {M} modes (weights, num_modes)", error)
    if not isinstance(gives, jax.ShapeDtypeStruct):
        refuse(name, "a function that returns numbers", f"one that returns {type(gives).__name__}")
    if closes_over_traced(traced.consts, parameters):
        must_be = "an Equinox module whose fields hold what it is traced or differentiated in"
        refuse(name, must_be, "a function that closes over a traced number")
    _, rough = _depends(traced.jaxpr, [True, True, False])
    if rough is not None:
        hint = "without a jump or a kink (of alpha, s.photons is |alpha|^2)"
        refuse(name, f"smooth, {hint}", f"one with {rough}")
    in_time, _ = _depends(traced.jaxpr, [False, False, True])
    return gives.shape, gives.dtype, any(in_time)


def _depends(program: Any, given: list[bool]) -> tuple[list[bool], str | None]:
    """Which results of a traced program depend on the inputs that are marked, and an operation on them that is rough.

    Programs within are looked into; loops and branches are taken as a whole.
    """
    marked = {id(v) for v, mark in zip(program.invars, given, strict=True) if mark}
    rough = None
    for step in program.eqns:
        touched = [id(v) in marked for v in step.invars]
        if not any(touched):
            continue
        results = [True] * len(step.outvars)
        inner = getattr(step.params.get("jaxpr", step.params.get("call_jaxpr")), "jaxpr", None)
        if step.primitive.name in ROUGH:
            rough = rough or step.primitive.name
        elif inner is not None and len(inner.invars) == len(touched) and len(inner.outvars) == len(results):
            results, within = _depends(inner, touched)
            rough = rough or within
        marked |= {id(v) for v, mark in zip(step.outvars, results, strict=True) if mark}
    return [id(v) in marked for v in program.outvars], rough
