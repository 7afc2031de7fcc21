"""Layer 3, pure: what is read out of a model's answer."""
