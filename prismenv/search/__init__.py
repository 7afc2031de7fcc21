"""Layer 3, pure: policies that decide what is measured next."""
