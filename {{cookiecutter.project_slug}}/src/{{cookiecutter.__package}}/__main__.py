"""`python -m <package>`: the command line for those without the installed script."""

from .cli import main

main()
