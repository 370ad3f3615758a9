"""`python -m crushtest.cli`."""

from crushtest.cli.commands import main

if __name__ == "__main__":
    main()
