"""Where every command starts: the installed script, or `python -m <package>`."""

import gc
import os


def main() -> None:
    """Run the command line."""
    # Threads of scikit-learn that wait for each other sleep: on a busy machine, those that spin
    # take the processor from those that work. OpenMP reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Importing makes many small objects, none of which is garbage yet.
    gc.set_threshold(100_000)
    from .cli import main as command_line

    try:
        command_line()
    finally:
        # The system takes all memory back: at the end nothing is worth a search for garbage.
        gc.freeze()


if __name__ == "__main__":
    main()
