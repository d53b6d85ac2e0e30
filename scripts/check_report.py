"""Reads pytest's JUnit report: fails if a test that must not be skipped was.

    python scripts/check_report.py report.xml

Comparisons with PyTorch skip where it is missing, and tests on data outside of the
repository where FASTNET_DATA is not set: fine on a user's machine, but not where both are there.
"""

from __future__ import annotations

import os
import sys
from xml.etree import ElementTree


def main(path: str) -> int:
    skipped = []
    ran_torch = 0
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        reason = case.find("skipped")
        if reason is None:
            ran_torch += "torch" in name.lower()
            continue
        message = reason.get("message") or ""
        outside = "FASTNET_DATA" in message and "FASTNET_DATA" not in os.environ
        print(f"skipped: {name}: {message}")
        if ("torch" in message.lower() or "FASTNET_DATA" in message) and not outside:
            skipped.append(name)
    if skipped or not ran_torch:
        print(f"{len(skipped)} tests that must run were skipped, {ran_torch} comparisons with PyTorch ran")
        return 1
    print(f"{ran_torch} comparisons with PyTorch ran")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
