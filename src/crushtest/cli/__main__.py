"""`python -m crushtest.cli`."""

from crushtest.cli.commands import main

main()
