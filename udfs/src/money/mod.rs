//! Money: exact splits, and ratios that never divide by zero.

mod safe_ratio;
mod split_money;

pub use safe_ratio::SafeRatio;
pub use split_money::SplitMoney;
