//! Holds nothing: the package is its test, `oracle.rs`.
