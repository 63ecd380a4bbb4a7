//! The binary: arguments to a subcommand, a subcommand to an exit code (64: bad usage or config, 1: cannot start).

use std::process::ExitCode;

/// Returns memory to the system after a burst, also when nothing more happens.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pointsman::cli::main()
}
