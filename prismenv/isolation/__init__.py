"""Layer 3, driver: the sandbox engine."""
