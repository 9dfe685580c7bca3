"""Replays logs at once and then day by day in order, and compares what is published byte by byte.

    python3 tests/reference/by_day.py --rerate BIN --from DAY --to DAY --work DIR LOGS… [-- FLAGS…]

A day is a function of its requests, the accounts file and what the day before carried over: `--date D` for each
day in order must publish the same bytes as all days at once, `run.json` aside. Prints differences; exits 1 on any.
"""

import argparse
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

NOT_COMPARED = "run.json"
PUBLISHED = (0, 3)


def main():
    arguments = parse_arguments()
    work = arguments.work.resolve()
    window = (arguments.first_day, arguments.last_day)
    logs = [str(Path(log).resolve()) for log in arguments.logs]
    command = [arguments.rerate, "replay", *logs, "--out", str(work / "out"), *arguments.flags]
    at_once = run([*command, "--from", str(window[0]), "--to", str(window[1]), "--allow-empty"], Path.cwd())
    found = [at_once] if at_once else list(
        differences(arguments.rerate, Path.cwd(), logs, arguments.flags, window, work / "days", work / "out")
    )  # fmt: skip
    for difference in found:
        print(difference)
    print(f"{len(found)} differences in {(window[1] - window[0]).days + 1} days")
    sys.exit(1 if found else 0)


def differences(rerate, folder, logs, flags, window, out, whole=None):
    """Replays each day of a window into `out`; `whole` (else `folder`/out) holds the window replayed at once."""
    whole = whole or folder / "out"
    for number in range((window[1] - window[0]).days + 1):
        day = str(window[0] + timedelta(days=number))
        if not (whole / day).is_dir():
            yield f"by day: {day}: not published at once"
        failed = run(
            [rerate, "replay", *logs, "--out", str(out), *flags, "--date", day, "--allow-empty"], folder
        )
        if failed:
            yield f"by day: {day}: {failed}"
            return
    expected, found = published(whole), published(out)
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            yield f"by day: {path}: {describe(expected.get(path), found.get(path))}"


def published(out):
    """The bytes of each file of each day."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.glob("[0-9]*/*")
        if path.is_file() and path.name != NOT_COMPARED
    }


def describe(at_once, by_day):
    if at_once is None or by_day is None:
        return "only at once" if by_day is None else "only by day"
    for number, (one, other) in enumerate(zip(at_once.split(b"\n"), by_day.split(b"\n")), 1):
        if one != other:
            return f"line {number}: at once {shorten(one)}, by day {shorten(other)}"
    return f"{len(at_once)} bytes at once, {len(by_day)} by day"


def shorten(line):
    return line[:300].decode("utf-8", "replace")


def run(command, folder):
    """Nothing when it published, else what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return "" if done.returncode in PUBLISHED else f"exit {done.returncode}: {done.stderr.strip()}"


def parse_arguments():
    words, flags = sys.argv[1:], []
    if "--" in words:
        at = words.index("--")
        words, flags = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rerate", required=True, metavar="BIN", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--from", dest="first_day", required=True, type=date.fromisoformat, metavar="DAY")
    parser.add_argument("--to", dest="last_day", required=True, type=date.fromisoformat, metavar="DAY")
    parser.add_argument(
        "--work", required=True, type=Path, metavar="DIR", help="where both replays are published"
    )
    parser.add_argument("logs", nargs="+", metavar="LOGS")
    arguments = parser.parse_args(words)
    arguments.flags = flags
    return arguments


if __name__ == "__main__":
    main()
