"""`python -m dicke_jax`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
