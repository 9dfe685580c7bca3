"""What this machine does with the bytes of a log when nothing is made of them: `limits.py WHAT LOG`.

Each is as near to the metal as a short Python program comes: the work is done by C libraries, in blocks, and thrown
away. What can be shared out among the cores is.
"""

import mmap
import multiprocessing
import os
import re
import sys
import zlib

BLOCK_BYTES = 512 << 10
CORES = os.cpu_count()


def blocks(log, part):
    """One core's share of a file, into one buffer that is used again."""
    size = os.path.getsize(log)
    end = size * (part + 1) // CORES
    buffer = bytearray(BLOCK_BYTES)
    with open(log, "rb", buffering=0) as file:
        left = end - file.seek(size * part // CORES)
        while left > 0:
            got = file.readinto(memoryview(buffer)[: min(left, BLOCK_BYTES)])
            left -= got
            yield buffer if got == BLOCK_BYTES else buffer[:got]


def read(log, part):
    for _ in blocks(log, part):
        pass


def lines(log, part):
    sum(block.count(b"\n") for block in blocks(log, part))


def members(log, part):
    """libdeflate, which wants a member whole. The head of a member is what logs.py writes."""
    import deflate

    with open(log, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packed:
        starts = [found.start() for found in re.finditer(re.escape(bytes.fromhex("1f8b0800000000000003")), packed)]
        ends = [*starts[1:], len(packed)]
        for start, end in list(zip(starts, ends))[part::CORES]:
            deflate.gzip_decompress(packed[start:end])


def inflate(log, library):
    """One stream of one member, on one core."""
    inflater = library.decompressobj(31)
    with open(log, "rb") as file:
        while packed := file.read(BLOCK_BYTES):
            while packed:
                inflater.decompress(packed, BLOCK_BYTES)
                packed = inflater.unconsumed_tail


def zst(log):
    import zstandard

    buffer = bytearray(BLOCK_BYTES)
    with open(log, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_size=BLOCK_BYTES) as text:
        while text.readinto(buffer):
            pass


def parquet(log):
    """The columns that the sums need, decoded into Arrow's arrays, by its own threads."""
    import pyarrow.parquet

    needed = ["request_id", "timestamp", "project_id", "model", "status", "service_tier", "usage_tier", "usageMetadata"]
    for _ in pyarrow.parquet.ParquetFile(log).iter_batches(columns=needed):
        pass


def main():
    what, log = sys.argv[1:]
    match what:
        case "zlib":
            inflate(log, zlib)
        case "zlib-ng":
            from zlib_ng import zlib_ng

            inflate(log, zlib_ng)
        case "zst":
            zst(log)
        case "parquet":
            parquet(log)
        case _:
            work = {"read": read, "lines": lines, "members": members}[what]
            with multiprocessing.Pool(CORES) as pool:
                pool.starmap(work, [(log, part) for part in range(CORES)])


main()
