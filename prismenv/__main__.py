"""`python -m prismenv` is the command line."""

from prismenv.cli.main import main

main()
