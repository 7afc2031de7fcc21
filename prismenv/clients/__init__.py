"""Layer 7: clients of environments, on a server or in this process."""
