"""Layer 3, driver: how services are reached: connections, tokens, and when a request is made again."""
