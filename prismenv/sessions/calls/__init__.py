"""Around a provider: what every call of a model goes through. `chain.py` says in which order, and why."""
