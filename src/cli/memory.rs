//! Owns `--memory`: how it is said, what holds without it, and where the temporary file goes.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use sysinfo::System;

use crate::error::{Error, Result};
use crate::memory::Bound;

/// How much memory.
#[derive(Debug, Args)]
pub(super) struct MemoryArgs {
    /// Memory for requests, like 512MiB; more are kept in a temporary file [default: a quarter of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
}

impl MemoryArgs {
    /// The temporary file is in TMPDIR where that is set, else where the output goes: a disk that has room for more than
    /// what may be a part of memory.
    pub(super) fn bound(&self, out: Option<&Path>) -> Result<Bound> {
        let said = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        if let Some(said) = said.as_ref().filter(|said| !said.is_dir()) {
            return Err(Error::usage(format!("TMPDIR: there is no folder {}", said.display()))
                .hint("requests for which there is no memory go there: make it, or unset TMPDIR"));
        }
        let folder = said.or_else(|| out.map(Path::to_path_buf)).unwrap_or_else(std::env::temp_dir);
        Ok(Bound { bytes: self.memory.unwrap_or_else(|| of_machine() / 4), folder })
    }
}

/// What this machine has, or the container allows.
fn of_machine() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    system.cgroup_limits().map_or(system.total_memory(), |limits| limits.total_memory)
}

fn size(text: &str) -> std::result::Result<u64, String> {
    let size: std::result::Result<ByteSize, String> = text.parse();
    size.map(|size| size.as_u64()).map_err(|_| "expected a size like 512MiB or 4GiB".to_string())
}
