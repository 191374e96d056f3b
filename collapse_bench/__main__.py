"""``python -m collapse_bench`` is the command ``collapse-bench``."""

from .cli import main

if __name__ == "__main__":
    main()
