"""Layer 3, pure: figures made of results."""
