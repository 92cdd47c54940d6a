"""A differential fuzzer: draws of models, states and questions, against a slow route; `python -m tests.fuzzer`."""
