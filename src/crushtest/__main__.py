"""`python -m crushtest`."""

from crushtest.cli import main

if __name__ == "__main__":
    main()
