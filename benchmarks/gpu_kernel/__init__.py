"""Ensembles on an NVIDIA GPU, with the kernel of `dynamics/_gpu` and without."""
