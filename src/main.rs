//! Parses the command line and hands over to `cli`.

use std::thread;
use std::time::Duration;

/// Memory that one query frees serves the next; the system's allocator would give it back, and get it cleared anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time that the rest of a query gets to be dropped.
const SETTLE: Duration = Duration::from_millis(20);

fn main() -> std::process::ExitCode {
    let keeper = thread::Builder::new().name("tributary-memory".to_owned()).spawn(|| {
        loop {
            thread::park();
            thread::sleep(SETTLE);
            give_back();
        }
    });
    // Without the thread, memory goes back late.
    if let Ok(keeper) = keeper {
        tributary::session::after_large_queries(move || keeper.thread().unpark());
    }
    tributary::cli::main()
}

/// Gives the system what is free: an allocator that nobody asks for memory gives nothing back by itself.
#[expect(unsafe_code, reason = "a call of C that takes nothing, and may be made at any time on any thread")]
fn give_back() {
    unsafe { libmimalloc_sys::mi_collect(true) }
}
