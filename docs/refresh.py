"""Compute the numbers of the pages again and write them into the pages.

python docs/refresh.py                    # all parts that take less than a minute
python docs/refresh.py images-minority    # these parts, however long they take
python docs/refresh.py --list
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread, like the workers of a run
sys.path.insert(0, str(Path(__file__).resolve().parent))

import quoted

for _module in pkgutil.iter_modules(quoted.__path__):
    importlib.import_module(f"quoted.{_module.name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="parts; none: all quick ones")
    parser.add_argument("--list", action="store_true", help="show the parts and stop")
    asked = parser.parse_args()
    if asked.list:
        for part in quoted.PARTS.values():
            print(f"{part.name:32}{part.page:36}{'on demand' if part.long else ''}".rstrip())
        return 0
    if unknown := set(asked.names) - set(quoted.PARTS):
        parser.error(f"no part {sorted(unknown)[0]!r}; possible are {', '.join(quoted.PARTS)}")
    names = asked.names or [name for name, part in quoted.PARTS.items() if not part.long]
    for name in names:
        part = quoted.PARTS[name]
        changed = part.write(str(part.make()))
        print(f"{part.page}: {name} {'changed' if changed else 'is unchanged'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
