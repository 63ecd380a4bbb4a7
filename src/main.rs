//! The binary: arguments to a subcommand, a subcommand to an exit code (64: bad usage or config, 1: cannot start).

use std::process::ExitCode;

/// Returns memory to the system after a burst, and is faster than the C library's on many small objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pointsman::cli::main()
}
