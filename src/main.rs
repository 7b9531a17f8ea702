//! Parses the command line and hands over to `cli`.

/// Scans allocate and free large buffers all the time, which the system's allocator gives back too eagerly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tributary::cli::main()
}
