"""Where every command starts: the installed script, or `python -m <package>`."""

import gc


def main() -> None:
    """Run the command line."""
    # Importing makes many small objects, none of which is garbage yet.
    gc.set_threshold(20_000)
    from .cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
