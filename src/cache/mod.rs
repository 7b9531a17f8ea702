//! Answers kept: in, a key that names query, parameters, store, build and data; out, the answer, computed
//! once however many ask at the same time. Entries never change, so there is nothing to invalidate.

mod answers;

pub use answers::{AnswerCache, AnswerKey, EncodedAnswer};
