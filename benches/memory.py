"""Replays one log with less and less memory, compares what is published, and prints time and peak.

    python3 benches/memory.py [--records 4000000] [--days 1] [--memory none 1GiB 256MiB 64MiB]

The log is never on the disk: `rerate gen --race` writes it into a pipe, so 100,000,000 records (60 GB) need room for the
temporary file alone, 45 bytes a record. Wall is bound by whichever of the two is slower. `none` is a bound that is never
reached. Needs Rust and Python 3.11 on a system with wait4.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RERATE = ROOT / "target" / "release" / "rerate"
WORK = ROOT / "target" / "memory"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=4_000_000, help="length of the log (default 4000000)")
    arguments.add_argument("--days", type=int, default=1, help="UTC days that it is of (default 1)")
    arguments.add_argument("--memory", nargs="+", default=["none", "1GiB", "256MiB", "64MiB"], help="bounds, in turn")
    arguments = arguments.parse_args()
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "temporary").mkdir(parents=True)

    first = None
    print(f"{arguments.records:,} records of {arguments.days} days")
    print("| --memory | wall s | CPU s | peak MiB | published |\n| --- | --- | --- | --- | --- |")
    for memory in arguments.memory:
        out = WORK / memory
        wall, cpu, peak = replay(arguments, memory, out)
        first = first or out
        same = "is compared with" if out == first else "the same bytes" if equal(first, out) else "DIFFERS"
        print(f"| {memory} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {same} |", flush=True)
        if same == "DIFFERS":
            sys.exit(1)


def replay(arguments, memory, out):
    """Wall and CPU seconds and peak MiB of a replay."""
    made = ["gen", "--race", "--records", str(arguments.records), "--days", str(arguments.days)]
    bound = "1000TiB" if memory == "none" else memory
    environment = {**os.environ, "TMPDIR": str(WORK / "temporary")}
    began = time.monotonic()
    generator = subprocess.Popen([RERATE, *made], stdout=subprocess.PIPE)
    with (WORK / "stderr").open("w") as stderr:
        command = [RERATE, "replay", "-", "--memory", bound, "--out", out]
        process = subprocess.Popen(command, stdin=generator.stdout, stderr=stderr, env=environment)
        generator.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    if generator.wait() != 0 or os.waitstatus_to_exitcode(status) not in (0, 3):
        sys.exit((WORK / "stderr").read_text())
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def equal(one, other):
    """Whether two folders have the same files with the same bytes."""
    files = [sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) for out in (one, other)]
    return files[0] == files[1] and not any(filecmp.cmpfiles(one, other, files[0], shallow=False)[1:])


if __name__ == "__main__":
    main()
