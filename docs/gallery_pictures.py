"""Pictures of the gallery, into docs/gallery: `python docs/gallery_pictures.py`, or with the names of some models."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np

import dicke_jax as dj

G = dj.gallery
DOWN = [0.1, 0.0, -np.sqrt(0.99)]


def spins(*m: Any, photons: int = 0, alpha: float = 0.01) -> dj.MeanFieldState:
    """One Bloch vector for each ensemble."""
    return dj.MeanFieldState(np.transpose(np.array(m, float)), np.full(photons, alpha))


LEVELS = dj.MeanFieldState(dj.bloch_vectors(np.outer([0.99, 0.1, 0.1], [0.99, 0.1, 0.1]) / (0.99**2 + 0.02)), [0.01])


def tilted(z: float) -> list[float]:
    return [np.sqrt(1 - z**2), 0.0, z]


def x(run: Any) -> Any:
    return run.m[:, 0]


def z(run: Any) -> Any:
    return run.m[:, 2]


def photons(run: Any) -> Any:
    return run.occupations


PICTURES: dict[str, tuple[float, str, Callable[[Any], Any], dict[str, Any]]] = {  # time, axis, what of a run, runs
    "boundary_time_crystal": (30, "z", z, {
        r"$\omega_0 = 0.8\,\kappa$: comes to rest": (G.boundary_time_crystal(0.8, 1.0), spins(tilted(0.6))),
        r"$\omega_0 = 1.3\,\kappa$: does not": (G.boundary_time_crystal(1.3, 1.0), spins(tilted(0.6))),
    }),
    "spin_exchange": (40, "x", x, {
        "emits and is spent": (G.spin_exchange(0.7, 0.3, 0.5), spins(tilted(0.99))),
        "is pumped and lases": (G.spin_exchange(0.7, 0.3, 0.5, 0.4), spins(tilted(0.99))),
    }),
    "collective_noise": (12, "z", z, {
        "field along the noise": (G.collective_noise([[0.4, -0.4j, 0.0]], [0.0, 0.0, 3.0]), spins(tilted(0.95))),
        "field across it": (G.collective_noise([[0.4, -0.4j, 0.0]], [3.0, 0.0, 0.0]), spins(tilted(0.95))),
    }),
    "polynomial_spins": (30, "z", z, {
        r"$\chi = 1.9$ fields: swings": (G.polynomial_spins([(0, 0, 2), (1, 0, 0)], [0.475, 0.5]), spins(tilted(1.0))),
        r"$\chi = 2.1$ fields: trapped": (G.polynomial_spins([(0, 0, 2), (1, 0, 0)], [0.525, 0.5]), spins(tilted(1.0))),
    }),
    "p_spin": (12, "z", z, {
        f"p = 3, from z = {start}": (G.p_spin(3, 2.2, 0.5, 2.0), spins(tilted(start))) for start in (0.95, 0.3)
    }),
    "dissipative_xyz": (60, "x", x, {
        r"$J_x = 1.2$: ferromagnet": (G.dissipative_xyz([1.2, 0.3, 0.8], 0.8), spins(DOWN)),
        r"$J_x = 0.7$: paramagnet": (G.dissipative_xyz([0.7, 0.3, 0.8], 0.8), spins(DOWN)),
    }),
    "unbalanced_dicke": (150, "x", x, {
        "beyond the Hopf point": (G.unbalanced_dicke(1.0, 1.0, 0.2, 0.88, 1.0), spins(DOWN, photons=1)),
        "before it": (G.unbalanced_dicke(1.0, 1.0, 0.2, 0.7, 1.0), spins(DOWN, photons=1)),
    }),
    "two_photon_dicke": (60, "photons per spin", photons, {
        rf"from $|\alpha|^2 = {n}$": (
            G.two_photon_dicke(1.0, 12.0, 6.0, 4.0, 4.0), spins([0.37, -0.06, -0.1], photons=1, alpha=-1j * n**0.5))
        for n in (9, 1)
    }),
    "nonlinear_dicke": (60, "photons per spin", photons, {
        f"U = {U}": (G.nonlinear_dicke(1.1, 0.7, 0.48, U, 0.5), spins(DOWN, photons=1)) for U in (0.6, -0.6)
    }),
    "multilevel_dicke": (120, "photons per spin", photons, {
        rf"V-type, $E_2 - E_1 = {split}$": (
            G.multilevel_dicke(1.0, [0.0, 1.0, 1.0 + split], [[0, g, g], [0, 0, 0], [0, 0, 0]], 1.0), LEVELS)
        for g, split in ((0.52, 0.0), (0.52, 0.6))
    }),
    "two_ensemble_dicke": (60, "x of both", x, {
        "the ensembles opposite": (G.two_ensemble_dicke(1.1, 0.7, [0.9, -0.9], 1.0, 0.8), spins(
            tilted(-0.3), [-tilted(-0.3)[0], 0, -0.3], photons=1, alpha=-0.6)),
        "the ensembles alike": (G.two_ensemble_dicke(1.1, 0.7, [0.9, -0.9], 1.0, 0.8), spins(
            tilted(-0.3), tilted(0.3), photons=1, alpha=-0.4)),
    }),
    "quadrature_dicke": (120, "x of both", x, {
        "never at rest": (G.quadrature_dicke(0.7, 0.9, 0.5, 2.0), spins(DOWN, tilted(-1.0), photons=1)),
    }),
    "dicke_ring": (120, "photons per spin, each site", photons, {
        told: (
            G.dicke_ring(3, 1.2, 0.9, 0.58, 0.5, hopping=0.2, phase=phase),
            spins(DOWN, tilted(-0.9), tilted(-1.0), photons=3))
        for told, phase in (("no flux: two sites shine alike", 0.0), ("flux: light goes round", 1.2))
    }),
}  # fmt: skip


def draw(folder: Path, names: Iterable[str] = tuple(PICTURES)) -> None:
    """One file for each model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        time, label, of, runs = PICTURES[name]
        figure, axis = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
        times = np.linspace(0, time, 801)
        for nu, (told, (model, start)) in enumerate(runs.items()):
            lines = np.reshape(of(dj.mfsolve(model, start, times)), (times.size, -1)).T
            for i, line in enumerate(lines):
                axis.plot(times, line, **dj.plotting.pattern_style(nu), lw=1.4 - 0.3 * i, label=None if i else told)
        axis.set(xlabel="time (inverse unit of the rates)", ylabel=label)
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "alignment": "left"}  # above, where no line is
        axis.legend(title=name, frameon=False, fontsize=8, **place)
        figure.savefig(folder / f"{name}.png", dpi=90)
        plt.close(figure)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    plt.switch_backend("agg")
    draw(Path(__file__).parent / "gallery", sys.argv[1:] or PICTURES)
