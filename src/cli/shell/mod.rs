//! The SQL shell. In: lines from a terminal, of SQL or beginning with a backslash. Out: answers on the terminal or in a
//! file. It asks a [`Source`](super::source::Source) and keeps nothing but a history.

mod asking;
mod catalog;
mod command;
mod completion;
mod input;
mod listing;
mod obey;
mod screen;
mod start;
mod text;

pub use start::run;
