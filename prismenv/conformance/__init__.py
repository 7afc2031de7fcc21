"""Layer 7: whether a server, of whomever, does what a protocol says, told from what it answers."""
