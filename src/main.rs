//! Parses the command line and hands over to `cli`.

use std::thread;
use std::time::Duration;

/// Memory that one query frees serves the next; the system's allocator would give it back, and get it cleared anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time that the rest of a query gets to be dropped.
const SETTLE: Duration = Duration::from_millis(20);

/// The time after which the allocator gives free memory back by itself, in milliseconds. The next body or query takes it
/// within that time; memory that was given back is cleared before it comes again.
const PURGE_DELAY_MS: std::ffi::c_long = 1_000;
/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> std::process::ExitCode {
    keep_for_a_while();
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

#[expect(unsafe_code, reason = "a call of C that sets a number, before there are other threads")]
fn keep_for_a_while() {
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) }
}

/// Gives the system what is free: an allocator that nobody asks for memory gives nothing back by itself.
#[expect(unsafe_code, reason = "a call of C that takes nothing, and may be made at any time on any thread")]
fn give_back() {
    unsafe { libmimalloc_sys::mi_collect(true) }
}
