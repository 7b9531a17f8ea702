//! Integration tests: one binary, one module a door.

mod cli;
