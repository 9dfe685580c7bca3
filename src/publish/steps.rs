//! Owns the steps of publishing: the moments between which something on the disk changes. A debug build can be told to
//! kill its process at one of them, which is how tests walk through all; in a release build there is nothing here.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// How many steps are left until the last one; 0: no step is.
#[cfg(debug_assertions)]
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Kills this process at a step, counted from 1.
#[cfg(debug_assertions)]
pub fn kill_at(step: u64) {
    LEFT.store(step, Ordering::Relaxed);
}

/// Something is done; something else is to be.
#[inline]
pub(super) fn step() {
    #[cfg(debug_assertions)]
    if LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) == Ok(1) {
        #[cfg(unix)]
        let _ = signal_hook::low_level::raise(9);
        std::process::abort();
    }
}
