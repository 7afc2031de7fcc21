"""A policy that keeps a statistical model of ability. It needs NumPy, which is imported once the policy is built."""
