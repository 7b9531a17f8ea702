//! Parses the command line and hands over to `cli`.

/// Memory that one query frees serves the next; the system's allocator would give it back, and get it cleared anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tributary::cli::main()
}
