"""Layer 3, driver: the LLM interface, in process and over HTTP."""
