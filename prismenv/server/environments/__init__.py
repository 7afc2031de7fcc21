"""Environments over protocols: OpenEnv's WebSocket and HTTP, PrismBench's challenges."""
