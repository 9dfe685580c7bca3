//! Owns the variable by which tests make a debug build stop itself at a step of publishing. Release builds have no such
//! thing.

/// Kill this process at the step of that number.
#[cfg(debug_assertions)]
const CRASH_AT: &str = "RERATE_CRASH_AT";

#[cfg(debug_assertions)]
pub fn is_variable(name: &str) -> bool {
    name == CRASH_AT
}

#[cfg(not(debug_assertions))]
pub fn is_variable(_: &str) -> bool {
    false
}

/// Does as the variable says.
#[cfg(debug_assertions)]
pub fn set() {
    if let Some(step) = std::env::var(CRASH_AT).ok().and_then(|step| step.parse().ok()) {
        crate::publish::steps::kill_at(step);
    }
}

#[cfg(not(debug_assertions))]
pub fn set() {}
