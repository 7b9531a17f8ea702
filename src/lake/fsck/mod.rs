//! Fsck: is a table's log whole, and is every file as it was written? In: a table. Out: what is wrong, where, whose
//! months it touches, and what was repaired. Nothing is repaired unless it is asked for, and nothing is deleted:
//! what is broken is set aside.

mod files;
mod finding;
mod log;
mod rows;

pub use finding::{Finding, Fsck, LookedAt, Repairs};
