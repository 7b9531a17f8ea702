//! Progress on a terminal; nothing anywhere else.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

const BYTES: &str = "{msg:24} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const ROWS: &str = "{msg:24} {wide_bar} {percent}% {eta}";

/// A bar over the bytes of a file; without a length where the file is a stream.
pub fn bytes(message: String, length: Option<u64>) -> ProgressBar {
    bar(message, length, BYTES)
}

/// A bar over things that are counted.
pub fn count(message: String, length: u64) -> ProgressBar {
    bar(message, Some(length), ROWS)
}

fn bar(message: String, length: Option<u64>, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new).with_message(message);
    // A template that cannot be read costs the bar its looks, not the command its run.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
