"""What only XLA's CPU backend needs to know."""
