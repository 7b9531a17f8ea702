//! Answers out: HTTP now; Flight SQL and the Postgres protocol beside it later. This room translates
//! between wire and engine, and decides nothing about data.

pub mod encode;
