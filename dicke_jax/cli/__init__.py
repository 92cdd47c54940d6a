"""The command `dicke-jax`: arguments in, studies run, tables, pictures and data out."""
