//! Starts the command line, with an allocator that keeps what it was given back; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_memory();
    rerate::cli::run()
}

/// Memory that is free is used again soon, as each batch, shard and day takes as much as the one before. Given to the system
/// meanwhile it would come back page by page, each cleared, and take a 30th of the time. So would memory of its own for each
/// thread that publishes: those that read have some free by then.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_memory() {
    const LONGEST_KEPT: libc::c_int = 4 << 20;
    const MOST_KEPT: libc::c_int = 1 << 30;
    // Of each thread that is at work at a time, and of the first.
    let arenas = std::thread::available_parallelism().map_or(2, |threads| threads.get() + 1);
    // SAFETY: they only set numbers, and no other thread has begun.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LONGEST_KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MOST_KEPT);
        libc::mallopt(libc::M_ARENA_MAX, arenas as libc::c_int);
    }
}
