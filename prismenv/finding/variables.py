"""Environment variables that are no keys of a recipe."""

WORKSPACE_VARIABLE = "PRISMENV_WORKSPACE"  # the user's workspace
STORE_VARIABLE = "PRISMENV_STORE"  # where results go
LOG_VARIABLE = "PRISMENV_LOG"  # how much the command line logs
RESERVED = (WORKSPACE_VARIABLE, STORE_VARIABLE, LOG_VARIABLE)
