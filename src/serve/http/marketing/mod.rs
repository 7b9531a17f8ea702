//! The documented endpoints of the marketing dashboard, composed of named queries, in the documents' units:
//! percent where they say percent, money as decimal strings. Amounts of several currencies are never
//! added: `channels` and the like speak of one currency, `by_currency` of each of the others.

mod attribution;
mod benchmarks;
mod dashboard;
mod money;
mod period;
mod reply;
mod roi;
mod rows;

pub use attribution::attribution;
pub use benchmarks::benchmarks;
pub use dashboard::dashboard;
pub use roi::roi;
