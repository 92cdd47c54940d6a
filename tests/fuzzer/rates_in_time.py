"""Rates of every kind, in NumPy alone: their values, and the times between which they are smooth."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Constant:
    """A number, or one for each mode or subset."""

    value: np.ndarray

    def __call__(self, t):
        return self.value

    def breaks(self):
        return np.zeros(0)

    def scaled(self, factor):
        return replace(self, value=self.value * factor)


@dataclass(frozen=True)
class Knots:
    """Values at times, joined by "ramp" or "line", straight, or by "cubic", Hermite with slopes taken backwards."""

    kind: str
    times: np.ndarray
    values: np.ndarray
    precision: str

    def __call__(self, t):
        i = int(np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, self.times.size - 2))
        t0, t1, v0, v1 = self.times[i], self.times[i + 1], self.values[i], self.values[i + 1]
        if self.kind == "ramp" and not self.times[0] <= t <= self.times[-1]:
            return self.values[0] if t < self.times[0] else self.values[-1]
        s, slope = (t - t0) / (t1 - t0), (v1 - v0) / (t1 - t0)
        if self.kind != "cubic":
            return v0 + (t - t0) * slope
        before = slope if i == 0 else (v0 - self.values[i - 1]) / (t0 - self.times[i - 1])
        return (
            (1 + 2 * s) * (1 - s) ** 2 * v0
            + s**2 * (3 - 2 * s) * v1
            + (t1 - t0) * s * (1 - s) * ((1 - s) * before - s * slope)
        )

    def breaks(self):
        return self.times

    def scaled(self, factor):
        return replace(self, values=self.values * factor)


@dataclass(frozen=True)
class Function:
    """base + height f(t): "pulse" exp(-((t - at) / width)^2), "sine" sin((t - at) / width), "step" 1 from `at` on.

    `plain`: handed over as a function that Python defines; else as an Equinox module, whose numbers may be traced.
    """

    kind: str
    base: np.ndarray
    height: np.ndarray
    at: float
    width: float
    plain: bool

    def __call__(self, t):
        u = (t - self.at) / self.width
        shape = {"pulse": np.exp(-min(u * u, 700.0)), "sine": np.sin(u), "step": float(t >= self.at)}[self.kind]
        return self.base + self.height * shape

    def breaks(self):
        if self.kind == "sine":
            return np.zeros(0)
        spread = (-9.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 9.0) if self.kind == "pulse" else (0.0,)
        return self.at + self.width * np.array(spread)

    def scaled(self, factor):
        return replace(self, base=self.base * factor, height=self.height * factor)


def longest_step(rate):
    """Within which a slow route cannot overlook anything."""
    return rate.width / 2 if isinstance(rate, Function) and rate.kind == "sine" else np.inf


def draw_rate(rng, value, span, precision, kinds, shared_times=None):
    """A rate about `value`, over the times `span`, of a kind among `kinds`."""
    kind = str(rng.choice(kinds))
    t0, t1 = span
    if kind == "constant":
        return Constant(value)
    plain, other = bool(rng.random() < 0.4), ("float32" if precision == "float64" else "float64")
    of_kind = other if rng.random() < 0.25 else precision
    factor = rng.uniform(0.5, 1.5)
    if kind in ("ramp", "line", "cubic"):
        times = np.sort(rng.uniform(t0, t1, 2)) if shared_times is None else shared_times
        if shared_times is None and rng.random() < 0.5:
            times = np.linspace(t0, t1, 6)
        if kind != "ramp":  # diffrax paths are asked for nothing outside
            times = np.concatenate([[t0 - 1.0], times[(times > t0) & (times < t1)], [t1 + 1.0]])
        times = np.unique(rounded(times, of_kind))
        if times.size < 2:
            return Constant(value)
        factors = rng.uniform(0.5, 1.5, times.size)
        values = factors.reshape(-1, *(1,) * np.ndim(value)) * value
        return Knots(kind, times, rounded(values, of_kind), of_kind)
    width, at = (t1 - t0) / rng.uniform(2, 30), rng.uniform(t0, t1)
    height = value * (factor - 1)
    if kind == "pulse":  # of area about one, however narrow
        width = float(np.exp(rng.uniform(np.log(0.01), 0.0)))
        at = t0 + (t1 - t0) * rng.uniform(0.1, 0.9)
        height = np.where(value < 0, -1, 1) * rng.uniform(0.3, 1.5) / (width * np.sqrt(np.pi))
    base, height, at, width = (rounded(x, precision) for x in (value, height, at, width))
    return Function(kind, base, height, float(at), float(width), plain)


def rounded(x, precision):
    """As the package gets it."""
    return np.asarray(np.asarray(x, precision), float)
