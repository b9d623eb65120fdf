"""`python -m fedket` is `fedket`."""

from fedket.cli import main

if __name__ == "__main__":
    main()
