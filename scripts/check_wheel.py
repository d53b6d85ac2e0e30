"""Looks into a repaired wheel: what it holds, what that needs of the system, and how large it is.

python scripts/check_wheel.py WHEEL [MOST_BYTES]
"""

import re
import sys
import zipfile
from collections import defaultdict
from pathlib import Path


def kind(name: str) -> str:
    """What a file of the wheel is, for the table of sizes."""
    stem = Path(name).name
    if ".libs/" in name or ".dylibs/" in name:
        return "OpenMP runtime"
    if match := re.match(r"_kernels_([a-z0-9]+)_", stem):
        return f"kernels {match[1]}"
    if stem.endswith((".so", ".pyd")):
        return "other compiled modules"
    if ".dist-info/" in name:
        return "metadata"
    return "data" if "/datasets/" in name and not name.endswith(".py") else "Python"


def versions(image: bytes, prefix: str) -> list[tuple[int, ...]]:
    """The symbol versions named in a shared library, like GLIBC_2.14, in order."""
    found = re.findall(rb"\0" + prefix.encode() + rb"_(\d+(?:\.\d+)+)(?=\0)", image)
    return sorted({tuple(map(int, text.decode().split("."))) for text in found})


def problems(wheel: zipfile.ZipFile) -> list[str]:
    """What should not be in a wheel, or is missing there."""
    names = wheel.namelist()
    found = [
        f"{name}: sources have no place here" for name in names if name.endswith((".c", ".pyx", ".pxi", ".pxd", ".h"))
    ]
    found += [f"{name}: not a part of fastnet" for name in names if not re.match(r"fastnet(/|_cpu[-.])", name)]
    if not any(kind(name).startswith("kernels") for name in names):
        found.append("there are no kernels")
    if not any(kind(name) == "OpenMP runtime" for name in names):
        found.append("there is no OpenMP runtime: the system would have to bring one")
    for name in names:
        newer = (
            [v for v in versions(wheel.read(name), "GOMP") if v > (4, 0)]
            if "team" in name and name.endswith(".so")
            else []
        )
        if newer:
            found.append(f"{name}: needs GOMP {newer[-1]}, which the libgomp of older images lacks")
    return found


def main(path: str, most_bytes: str | None = None) -> int:
    with zipfile.ZipFile(path) as wheel:
        packed, unpacked = defaultdict(int), defaultdict(int)
        for file in wheel.infolist():
            packed[kind(file.filename)] += file.compress_size
            unpacked[kind(file.filename)] += file.file_size
        found = problems(wheel)
        glibc = max(
            (versions(wheel.read(name), "GLIBC")[-1:] for name in wheel.namelist() if ".so" in name), default=[]
        )
    size = Path(path).stat().st_size
    for name in sorted(packed, key=packed.get, reverse=True):
        print(f"{packed[name]:>10,} packed {unpacked[name]:>11,} unpacked  {name}")
    print(f"{size:>10,} bytes  {Path(path).name}")
    if glibc:
        print("newest symbols of glibc:", ".".join(map(str, glibc[0])))
    if most_bytes and size > int(most_bytes):
        found.append(f"{size:,} bytes are more than {int(most_bytes):,}")
    for text in found:
        print(text, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
