"""`FirstStep`: a step-size controller whose first step is given, so that no search for one is compiled."""

from typing import Any

import diffrax as dfx
from jaxtyping import Array


def innermost(controller: Any) -> Any:
    """The controller that chooses steps, within those that clip them or give the first."""
    while hasattr(controller, "controller"):
        controller = controller.controller
    return controller


class FirstStep(dfx.AbstractAdaptiveStepSizeController):
    """A controller whose first step is given."""

    controller: dfx.AbstractAdaptiveStepSizeController
    step: Array
    rtol: Any = None
    atol: Any = None
    norm: Any = None

    def __init__(self, controller: dfx.AbstractAdaptiveStepSizeController, step: Array) -> None:
        self.controller, self.step = controller, step
        self.rtol, self.atol, self.norm = controller.rtol, controller.atol, controller.norm

    def wrap(self, direction: Any) -> "FirstStep":
        return FirstStep(self.controller.wrap(direction), self.step)  # pyright: ignore[reportArgumentType]

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        return self.controller.init(terms, t0, t1, y0, self.step, args, func, error_order)

    def adapt_step_size(self, *arguments: Any, **named: Any) -> Any:
        return self.controller.adapt_step_size(*arguments, **named)
