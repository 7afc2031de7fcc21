"""The sandbox as a service: what it takes, whose turn it is, and how it is told over HTTP."""
