"""Layer 1: what the parts of the engine promise each other. Abstract, at most about five methods each."""
