"""Layer 0: the words that every other layer speaks. Pydantic and the standard library only; no I/O."""
