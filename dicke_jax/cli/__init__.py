"""The command `dicke-jax`."""

from .main import main as main
