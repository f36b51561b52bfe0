"""`python -m cosmos_exp`, for launchers that start modules."""

from cosmos_exp.cli.main import main

main()
