"""A trial: whole adaptive runs of many rows in one launch on an NVIDIA GPU. See README.md beside this file."""
