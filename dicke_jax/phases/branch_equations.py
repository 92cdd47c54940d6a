"""The equations of a branch: what vanishes along it, in which unknowns, of each kind of model."""

import abc
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from .._checks import as_array, check_known, refuse
from .._typing import ModeReals, SubsetReals
from ..mean_field import CollectiveModel, DickeModel, MeanFieldState, check_constant_rates, overlaps
from ..mean_field.at_rest import AtRest, flat, kept_of
from ..mean_field.parameters import parameters
from ..mean_field.stationary_equations import self_consistency, signed_lengths, state_of_overlaps
from .collective_search import collective_state
from .linearisation import largest_rate
from .roots import newton
from .stability_spectrum import pattern_shares

Numbers: TypeAlias = Array | np.ndarray  # on the host between steps, where it is decided how to go on


def with_parameter(model: Any, parameter: Any, value: Array) -> Any:
    """The model with another value of one rate: by name, by name and entry, or as a function makes it."""
    if callable(parameter):
        return parameter(value)
    if isinstance(parameter, str):
        return model.replace(**{parameter: value})
    name, entry = parameter
    owner = model if isinstance(model, DickeModel) else model.energy
    return model.replace(**{name: getattr(owner, name).at[entry].set(value)})


def parameter_of(model: DickeModel | CollectiveModel, parameter: Any) -> tuple[str, float | None]:
    """Its name, and its value in the model where it has one."""
    check_constant_rates(model)
    check_known("model", model, "for a branch is followed step by step; what holds at one point can be traced")
    if callable(parameter):
        return getattr(parameter, "__name__", "parameter").replace("<lambda>", "parameter"), None
    if isinstance(model, CollectiveModel):
        return _parameter_of_energy(model, parameter)
    if isinstance(parameter, str) and parameter in ("g0", "omega_spin"):
        return parameter, float(getattr(model, parameter))
    if isinstance(parameter, tuple) and len(parameter) == 2 and parameter[0] in ("omega_mode", "kappa"):
        if parameter[1] not in range(model.num_modes):
            refuse("parameter", f"of a mode from 0 to {model.num_modes - 1}", parameter)
        return f"{parameter[0]}[{parameter[1]}]", float(np.asarray(getattr(model, parameter[0]))[parameter[1]])
    must_be = "'g0', 'omega_spin', ('omega_mode', mode), ('kappa', mode) or a function that makes a model"
    refuse("parameter", must_be, repr(parameter))


def _parameter_of_energy(model: CollectiveModel, parameter: Any) -> tuple[str, float | None]:
    numbers = {name: x for name, x in parameters(model.energy).items() if eqx.is_inexact_array(x)}
    pair: Any = parameter if isinstance(parameter, tuple) and len(parameter) == 2 else (parameter, None)
    name, entry = pair
    value = numbers.get(name) if isinstance(name, str) else None
    if value is not None and entry is None and value.ndim == 0:
        return name, float(value)
    if value is not None and value.ndim == 1 and entry in range(value.size):
        return f"{name}[{entry}]", float(np.asarray(value)[entry])
    must_be = "a function that makes a model, or the name of a number in the energy, or (name, entry) of an array there"
    refuse("parameter", f"{must_be}: {', '.join(numbers) or 'it has none'}", repr(parameter))


class AbstractProblem(eqx.Module):
    """Equations F(u) = 0, one fewer than unknowns: u = (x, p / scale), of which p is a parameter of the model."""

    model: Any
    scale: Float[Array, ""]
    parameter: Any = eqx.field(static=True)
    spectral: bool = eqx.field(static=True)

    def model_at(self, u: Numbers) -> Any:
        """The model with the parameter's value at u."""
        return with_parameter(self.model, self.parameter, u[-1] * self.scale)

    @abc.abstractmethod
    def __call__(self, u: Numbers) -> Array:
        """F."""

    @abc.abstractmethod
    def begin(self, start: MeanFieldState | Array, value: Numbers) -> tuple["AbstractProblem", Array, Bool[Array, ""]]:
        """The problem with the spin lengths of the start, x near it, and whether there is one."""

    @abc.abstractmethod
    def state(self, model: Any, u: Numbers) -> MeanFieldState:
        """The state that u stands for."""

    @abc.abstractmethod
    def counts(self, model: Any, state: MeanFieldState, vectors: Complex[Array, "t n"]) -> Bool[Array, " n"]:
        """Which deviations, eigenvectors in `tangent_basis`, belong to what is told of a branch."""


class OverlapProblem(AbstractProblem):
    """M equations for the M overlaps of a `DickeModel`, xi = P(xi; p); what modes see counts."""

    lengths: SubsetReals

    def __call__(self, u: Numbers) -> Array:
        return self_consistency(jnp.asarray(u)[:-1], (self.model_at(u), self.lengths))

    def begin(self, start: MeanFieldState | ModeReals, value: Numbers) -> tuple[AbstractProblem, Array, Array]:
        here, problem = self.model_at(value[None]), self
        if isinstance(start, MeanFieldState):
            problem = eqx.tree_at(lambda p: p.lengths, self, signed_lengths(here, start))
            start = overlaps(here, start.m)
        xi, good = newton(start.astype(value.dtype), (here, problem.lengths))
        return problem, xi, good

    def state(self, model: DickeModel, u: Numbers) -> MeanFieldState:
        return state_of_overlaps(model, jnp.asarray(u)[:-1], self.lengths)

    def counts(self, model: DickeModel, state: MeanFieldState, vectors: Array) -> Bool[Array, " n"]:
        return jnp.sum(pattern_shares(model, state, vectors), axis=1) > 0


class ComponentProblem(AbstractProblem):
    """All components of a `CollectiveModel` at rest, with what is `kept` as it is to be; everything counts."""

    kept: Float[Array, "kept K"]
    rate: Float[Array, ""]

    def __call__(self, u: Numbers) -> Array:
        equations = AtRest(self.model.num_subsets, self.model.levels)
        return equations(jnp.asarray(u)[:-1], (self.model_at(u), self.kept, self.rate)) / self.rate

    def begin(self, start: Any, value: Numbers) -> tuple[AbstractProblem, Array, Array]:
        model: CollectiveModel = self.model_at(value[None])
        state, good = collective_state(model, start)
        problem = eqx.tree_at(lambda p: p.kept, self, kept_of(start.m.astype(model.dtype)))
        return problem, flat(state.to_real(model)), good

    def state(self, model: CollectiveModel, u: Numbers) -> MeanFieldState:
        return MeanFieldState.from_real(AtRest(model.num_subsets, model.levels).state(jnp.asarray(u)[:-1]))

    def counts(self, model: CollectiveModel, state: MeanFieldState, vectors: Array) -> Bool[Array, " n"]:
        return jnp.ones(vectors.shape[1], bool)


def component_problem(
    model: CollectiveModel, components: np.ndarray | None, value: float, scale: Array, parameter: Any, spectral: bool
) -> ComponentProblem:
    """The problem of a branch that begins at this value of the parameter, and with these components where known."""
    state = AtRest(model.num_subsets, model.levels).state
    m = model._somewhere()[0] if components is None else state(as_array(components, model.dtype))[0]
    problem = ComponentProblem(model, scale, parameter, spectral, kept_of(m), jnp.ones_like(scale))
    return eqx.tree_at(lambda p: p.rate, problem, _largest_rate(problem, as_array([value], model.dtype) / scale))


@eqx.filter_jit
def _largest_rate(problem: ComponentProblem, u: Array) -> Float[Array, ""]:
    return largest_rate(problem.model_at(u))


def told_of(problem: AbstractProblem, u: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The overlaps of points, and all components where these are the unknowns."""
    if not isinstance(problem, ComponentProblem):
        return u[:, :-1], None
    K = problem.model.num_subsets
    shares = np.asarray(problem.model.weights) * u[:, 2 * K : 3 * K]
    patterns = np.ones((1, K)) if problem.model.patterns is None else np.asarray(problem.model.patterns)
    return shares @ patterns.T.astype(u.dtype), u[:, :-1]
