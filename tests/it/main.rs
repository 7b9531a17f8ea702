//! The one integration binary: it links once.
#![allow(clippy::unwrap_used)]

mod drill;
mod hooked_store;
mod objects;
#[cfg(target_os = "linux")]
mod open_files;
mod overtaken;
mod place;
mod support;

mod ambiguous;
mod ambiguous_store;
mod bucket;
mod careless_store;
mod cli;
mod connections;
mod docs;
mod doctor;
mod durability;
mod embed;
mod erasure;
mod fake_s3;
mod faults;
mod faulty_store;
mod flight;
mod flight_limits;
mod flight_parts;
mod fsck;
mod fuzzed;
mod goldens;
mod hostile_files;
mod http;
mod http_keys;
mod http_limits;
mod http_sql;
mod interleavings;
mod invariants;
mod journeys;
mod lake;
mod named_relations;
mod postgres;
mod postgres_limits;
mod query_limits;
mod quiet;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(target_os = "linux")]
mod repeats;
mod shell;
mod spreadsheet;
mod tls;
mod type_cases;
mod type_matrix;
mod upkeep;
mod versions;
