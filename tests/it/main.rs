//! Integration tests: one binary, one module a door.
#![allow(clippy::unwrap_used)] // A panic is how a test fails; clippy sees helpers of tests as other code.

mod cli;
mod embed;
