"""Sweeps over axes of any order, some zipped: every row against its closed form."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import dicke_jax as dj


@dataclass
class Question:
    """What is asked, in numbers; `name` is SEED:NUMBER:KIND."""

    name: str
    question: str
    how: dict[str, Any]

    def __str__(self):
        with np.printoptions(precision=4, threshold=12):
            return f"{self.question} {self.how}"


def draw_sweep(rng, name):
    M = int(rng.integers(2, 4))
    values = {"omega_spin": rng.uniform(0.3, 1, 2), "kappa": rng.uniform(0.3, 2, 3)}
    values |= {f"omega_mode[{mu}]": rng.uniform(0.8, 2.5, 2) for mu in range(M)}
    values |= {f"kappa[{mu}]": rng.uniform(0.3, 2, 3) for mu in range(M)}
    chosen = [str(x) for x in rng.choice(list(values), int(rng.integers(1, 5)), replace=False)]
    if "kappa" in chosen:
        chosen = [x for x in chosen if not x.startswith("kappa[")]
    axes = {x: values[x] for x in chosen}
    if rng.random() < 0.7:
        axes["pattern"] = rng.permutation(M)[: int(rng.integers(1, M + 1))]
    names = [str(x) for x in rng.permutation(list(axes))]
    same = [a for a in names if a != "pattern" and len(axes[a]) == 2]
    how = dict(M=M, axes={x: axes[x] for x in names}, zipped=same[:2] if len(same) > 1 and rng.random() < 0.5 else [])
    how |= dict(omega_spin=0.5, omega_mode=rng.uniform(0.8, 2.5, M), kappa=rng.uniform(0.5, 2, M))
    how |= dict(of=str(rng.choice(["existence", "stability", "rest"])), chunk=int(rng.choice([32, 64])))
    return Question(name, "sweep", how)


def _rows(how):
    """Of every row its place among the axes, and g_nu of all patterns."""
    axes, grid = how["axes"], np.indices([len(x) for x in how["axes"].values()]).reshape(len(how["axes"]), -1).T
    for row in grid:
        rates = {name: np.array(how[name], float) for name in ("omega_spin", "omega_mode", "kappa")}
        pattern, at = 0, dict(zip(axes, row.tolist(), strict=True))
        if how["zipped"] and len({at[name] for name in how["zipped"]}) > 1:
            continue
        for name, i in at.items():
            kind, _, mode = name.partition("[")
            if kind == "pattern":
                pattern = int(axes[name][i])
            elif mode:
                rates[kind][int(mode[:-1])] = axes[name][i]
            else:
                rates[kind] = np.full(rates[kind].shape, axes[name][i])
        modes = rates["omega_mode"]
        yield at, pattern, np.sqrt(rates["omega_spin"] * (modes**2 + rates["kappa"] ** 2 / 4) / (2 * modes))


def _coupling(how):
    """Well above the thresholds of all rows."""
    return 1.4 * max(g.max() for _, _, g in _rows(how))


def ask_sweep(question):
    how = question.how
    model = dj.DickeModel(
        dj.LargeSpins.hypercube(how["M"]), how["omega_spin"], how["omega_mode"], how["kappa"], _coupling(how)
    )
    compute, options = ("steadystate", {}) if how["of"] == "rest" else ("critical_coupling", {"kind": how["of"]})
    zipped = [tuple(how["zipped"])] if how["zipped"] else ()
    found = dj.Sweep(model, how["axes"], compute, zipped=zipped, options=options).run(chunk=how["chunk"])
    values, rows = (found.g_crit if how["of"] != "rest" else abs(found.overlap)), []
    good = found.status == int(dj.Status.successful._value) if how["of"] == "rest" else values == values
    for at, pattern, _ in _rows(how):
        for name in how["zipped"][1:]:
            at.pop(name)
        row = values.isel(at)
        rows.append(float(row.isel(mode=pattern) if how["of"] == "rest" else row) if good.isel(at) else np.inf)
    # a row that says it is not at rest is none
    said = "" if np.isfinite(rows).any() else "no row is at rest"
    return {"said": said, "values": np.nan_to_num(rows, posinf=-1.0)}


def judge_sweep(question, answer):
    how, g0, right = question.how, _coupling(question.how), []
    for _, nu, g in _rows(how):
        own = {
            "existence": g[nu],
            "stability": g[nu] * np.sqrt(g[nu] / g.min()),
            "rest": np.sqrt(1 - (g[nu] / g0) ** 4),
        }
        right.append(own[how["of"]])
    off = np.where(answer["values"] < 0, 0, np.abs(answer["values"] - right))
    allowed = 1e-5 if how["of"] == "rest" else 1e-6
    return ("right" if off.max() < allowed else "wrong"), f"off by {off.max():.2g} in row {off.argmax()}"
