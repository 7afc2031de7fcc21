"""Layer 7: servers. Thin translations of what the engine does; needs the extra `server`."""
