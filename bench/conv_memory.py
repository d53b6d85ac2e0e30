"""Prints how many MB VGG-small's training adds to its process: `python -m bench.conv_memory fastnet 1`."""

from __future__ import annotations

import sys

from bench.conv_nets import FLATTEN, POOL, Net, conv, dense
from bench.conv_networks import NETS, fastnet_steps, torch_steps

STEPS = 20
TINY = Net("tiny", [conv(4, 3, relu=True), POOL, FLATTEN, dense(10)], (8, 8, 3), "Adam")


def peak() -> float:
    """Most memory resident in this process, in MB: getrusage's ru_maxrss has the parent's from before exec."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(side: str, threads: int) -> None:
    def steps(net):
        if side == "fastnet":
            return fastnet_steps(net)
        return torch_steps(net, threads, compiled=False, layout=side.split()[-1])

    if side == "fastnet":
        import fastnet

        fastnet.set_num_threads(threads)
    call, _ = steps(TINY)  # what is imported with the first step
    before = peak()
    call, done = steps(next(net for net in NETS if net.name == "VGG-small"))
    for _ in range(STEPS - len(done)):
        call()
    print(peak() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
