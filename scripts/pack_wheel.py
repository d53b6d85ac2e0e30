"""Packs a wheel's files anew by zopfli, which takes longer and finds shorter forms of the same format; all else stays as it is.

python scripts/pack_wheel.py WHEEL         (needs zopflipy)
"""

import os
import sys
import zipfile

import zopfli


def main(path: str) -> None:
    aside = f"{path}.packed"
    with zipfile.ZipFile(path) as old, zopfli.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as new:
        for file in old.infolist():
            new.writestr(file, old.read(file))
    print(f"packed {os.path.getsize(path):,} bytes into {os.path.getsize(aside):,}")
    os.replace(aside, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
