"""`python -m crushtest.cli`."""

from crushtest.cli.app import main

if __name__ == "__main__":
    main()
