"""Instances of environments that others step: leases, capacity, quotas, and what an episode may do when."""
