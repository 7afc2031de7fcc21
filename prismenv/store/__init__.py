"""Layer 3, driver: where runs are kept."""
