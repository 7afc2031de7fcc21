"""Environments over protocols: OpenEnv's WebSocket and HTTP, MCP, PrismBench's challenges."""
