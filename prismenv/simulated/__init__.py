"""Layer 3, driver: a model that is simulated, and says so."""
