//! Functions that make much out of little, bounded. In: a session's functions and plans. Out: the same, where a call
//! that would make too much is refused before it takes the memory, which the memory pool does not see.

mod function;
mod growth;
mod operator;
mod rule;
mod text_aggregate;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry as _;
use datafusion::prelude::SessionContext;

use self::function::Guarded;
use self::growth::Growth;
pub(super) use self::rule::GuardCalls;
use self::text_aggregate::BoundedStringAgg;
use super::interruption::Interruption;

/// Bytes that one call may make of one batch of rows, which are 8,192 at most.
pub(super) const CALL_BYTES: u64 = 128 << 20;
/// Bytes of a text that a call without columns may make: a projection writes it out for each row of a batch.
pub(super) const CONSTANT_BYTES: u64 = 64 << 10;

/// Puts bounded functions in the place of the session's own: planning computes some arguments by name.
pub(super) fn guard_functions(context: &SessionContext, interruption: &Arc<Interruption>) {
    for name in growth::names() {
        let Some(growth) = Growth::of(name) else { continue };
        if let Ok(function) = context.udf(name) {
            context.register_udf(Guarded::wrap(function, growth, interruption));
        }
    }
    context.register_udaf(BoundedStringAgg::function());
}
