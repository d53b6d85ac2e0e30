"""Times fastnet against its peers.

    python -m bench --threads 1,2 --filter train --json out.json

Each number of threads is measured in a process of its own, whose thread pools (OpenMP, XLA, BLAS) all
have that number. Contenders are interleaved, and compared for equal results before they are timed. A ratio
is peer / fastnet: above 1 fastnet is faster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from bench.processes import CHECKOUT, leave_checkout, limited


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    from bench.groups import GROUPS
    from bench.peers import PEERS

    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__.split("\n")[0], epilog=f"Groups: {', '.join(GROUPS)}."
    )
    parser.add_argument("--peers", default=",".join(PEERS), help="with commas; default: all that are installed")
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default 1,2)")
    parser.add_argument("--isa", choices=["avx2"], default="", help="use no instructions beyond these, on either side")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="TEXT",
        help='only cases that have it in "group case"; may be given more than once',
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, help="for each case (default 2; with --quick 0.2)")
    parser.add_argument("--quick", action="store_true", help="fewer cases, and shorter: all in less than five minutes")
    parser.add_argument("--json", metavar="FILE", help="write all figures here")
    parser.add_argument("--update", action="store_true", help="keep the rows that FILE has of other cases")
    parser.add_argument("--plot", metavar="DIR", help="draw the figures here, as SVG")
    parser.add_argument("--compare", metavar="OLD.json", help="say what is faster or slower than in that run")
    parser.add_argument(
        "--max-slowdown", type=float, default=1.1, metavar="FACTOR",
        help="with --compare: exit 1 if a case is slower than this, beyond the noise (default 1.1)",
    )  # fmt: skip
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--process", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    arguments = parse()
    if arguments.child:
        from bench import measuring

        measuring.child(arguments, sys.argv[1:])
        return 0
    if arguments.process:
        from bench import memory_child

        memory_child.main(*arguments.process, int(arguments.threads))
        return 0
    from bench import compare, plots, results
    from bench.peers import choose

    for line in choose(arguments.peers)[1]:
        print(line, flush=True)
    command = sys.argv[1:]
    run = None
    for index, threads in enumerate(arguments.threads.split(",")):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            child = [sys.executable, "-m", "bench", *command, "--child", file.name, "--threads", threads]
            child += ["--first"] if index == 0 else []
            subprocess.run(child, check=True, env=limited(int(threads), arguments.isa), cwd=CHECKOUT)
            part = results.Run.read(file.name)
        run = part if run is None else run.join(part)
    for line in run.crossovers():
        print(line)
    status = 2 if run.failed else 0
    if arguments.json:
        if arguments.update and os.path.exists(arguments.json):
            run = results.Run.read(arguments.json).join(run)
        run.write(arguments.json)
    if arguments.plot:
        plots.draw(run, arguments.plot)
    if arguments.compare:
        status = max(status, compare.report(results.Run.read(arguments.compare), run, arguments.max_slowdown))
    return status


if __name__ == "__main__":
    leave_checkout()
    sys.exit(main())
