"""``python -m shotfs``: the same command, where no script is installed."""

from shotfs.cli.main import main

if __name__ == "__main__":
    main()
