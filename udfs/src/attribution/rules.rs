//! What decides which touches count, and for how much: every option of attribution.md, typed.

use datafusion::common::Result;

use super::arguments::{Arguments, Kind, Parameter};

/// Microseconds of a day of elapsed time.
pub const DAY_US: f64 = 86_400_000_000.0;
/// Custom weights are read to the sixth decimal.
const WEIGHT_ONE: f64 = 1e6;

/// When time decay halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepping {
    /// All the time.
    Continuous,
    /// At the end of each half-life before the order.
    Whole,
}

/// When a view counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Views {
    /// Where no click is eligible.
    Superseded,
    /// Beside clicks.
    Counted,
    /// Never.
    Ignored,
}

/// Whether an order counts touches that an earlier order of the customer could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Yes: every order looks back over its full window.
    All,
    /// Only those after the customer's previous completed order.
    ResetAtConversion,
    /// Only those that no earlier order counted.
    NextConversionOnly,
}

/// Which of a journey's touches in one channel count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collapse {
    /// All.
    None,
    /// The first of each unbroken run.
    Consecutive,
    /// The first.
    Unique,
}

/// When a refund is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundView {
    /// On its own date.
    Cash,
    /// On its order's date.
    Cohort,
}

/// Weights of the first touch, of those between together, and of the last, in any unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndWeights {
    pub first: u64,
    pub between: u64,
    pub last: u64,
}

impl EndWeights {
    pub const POSITION_BASED: Self = Self { first: 2, between: 1, last: 2 };
    pub const J_SHAPED: Self = Self { first: 1, between: 1, last: 3 };
    pub const INVERSE_J: Self = Self { first: 3, between: 1, last: 1 };

    /// Weights of any unit, to the sixth decimal, in the smallest whole numbers.
    fn from_numbers(first: f64, between: f64, last: f64) -> Self {
        let [first, between, last] =
            [first, between, last].map(|weight| (weight * WEIGHT_ONE).round() as u64);
        let divisor = common_divisor(first, common_divisor(between, last)).max(1);
        Self { first: first / divisor, between: between / divisor, last: last / divisor }
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Names of which a touch's must be one, or must not be; trimmed and in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameFilter {
    /// Empty where every name will do.
    pub only: Vec<String>,
    pub ignore: Vec<String>,
}

impl NameFilter {
    /// Whether every name passes.
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.ignore.is_empty()
    }

    /// Whether a touch of this name counts.
    pub fn passes(&self, name: Option<&str>) -> bool {
        let name = name.unwrap_or_default().trim().to_lowercase();
        (self.only.is_empty() || self.only.contains(&name)) && !self.ignore.contains(&name)
    }
}

/// What decides which touches count, and for how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// How long before an order a click counts, in microseconds.
    pub lookback_us: i64,
    /// How long before an order a view counts, in microseconds.
    pub view_lookback_us: i64,
    /// The age at which a touch weighs half under time decay, in microseconds.
    pub half_life_us: f64,
    pub stepping: Stepping,
    pub views: Views,
    pub reuse: Reuse,
    pub collapse: Collapse,
    /// The channels that are direct; trimmed and in lower case.
    pub direct: Vec<String>,
    /// Whether direct touches count only where there is no other.
    pub ignore_direct: bool,
    pub channels: NameFilter,
    pub campaigns: NameFilter,
    pub custom: EndWeights,
    pub refunds: RefundView,
    /// The currency that amounts are reported in, in upper case; each order's own where none is given.
    pub currency: Option<String>,
    /// Whether touches and orders without credit are listed, with the reason.
    pub include_refused: bool,
    /// How far from the window touches are listed that it does not hold, in microseconds; any touch where none is given.
    pub refused_us: Option<i64>,
}

impl Default for Rules {
    /// Profile `tributary-1`.
    fn default() -> Self {
        Self {
            lookback_us: (30.0 * DAY_US) as i64,
            view_lookback_us: DAY_US as i64,
            half_life_us: 7.0 * DAY_US,
            stepping: Stepping::Continuous,
            views: Views::Superseded,
            reuse: Reuse::All,
            collapse: Collapse::None,
            direct: vec!["direct".to_owned()],
            ignore_direct: false,
            channels: NameFilter::default(),
            campaigns: NameFilter::default(),
            custom: EndWeights::POSITION_BASED,
            refunds: RefundView::Cash,
            currency: None,
            include_refused: false,
            refused_us: None,
        }
    }
}

/// The first two parameters of every function of journeys.
pub const WINDOW_PARAMETERS: [Parameter; 2] = [
    Parameter {
        name: "lookback_days",
        kind: Kind::Days,
        default: "30",
        doc: "How long before an order a click counts, in days of elapsed time.",
    },
    Parameter {
        name: "half_life_days",
        kind: Kind::Days,
        default: "7",
        doc: "The age at which a touch weighs half under time decay.",
    },
];

/// Whether what got no credit is listed.
pub const INCLUDE_REFUSED: Parameter = Parameter {
    name: "include_refused",
    kind: Kind::Flag,
    default: "false",
    doc: "Whether touches and orders without credit are listed too, with the reason.",
};

/// How far listing goes.
pub const REFUSED_DAYS: Parameter = Parameter {
    name: "refused_days",
    kind: Kind::Days,
    default: "any",
    doc: "With include_refused, how many days before the window and after the order touches are listed.",
};

/// The parameters that choose among the rules, of every function of journeys.
pub const RULE_PARAMETERS: [Parameter; 17] = [
    Parameter {
        name: "profile",
        kind: Kind::Profile,
        default: "'tributary-1'",
        doc: "Another product's choices: every option that is not given itself is taken from it. attribution_profiles() lists them.",
    },
    Parameter {
        name: "view_lookback_days",
        kind: Kind::Days,
        default: "1",
        doc: "How long before an order a view counts, in days.",
    },
    Parameter {
        name: "views",
        kind: Kind::Choice(&["superseded", "counted", "ignored"]),
        default: "'superseded'",
        doc: "Views count where no click is eligible, beside clicks, or never.",
    },
    Parameter {
        name: "reuse",
        kind: Kind::Choice(&["all", "reset_at_conversion", "next_conversion_only"]),
        default: "'all'",
        doc: "Every order looks back over its full window; or only to the customer's previous completed order; or only at touches that no earlier order counted.",
    },
    Parameter {
        name: "collapse",
        kind: Kind::Choice(&["none", "consecutive", "unique"]),
        default: "'none'",
        doc: "Every touch counts; or the first of each unbroken run in one channel; or the first in each channel.",
    },
    Parameter {
        name: "direct_channels",
        kind: Kind::Names,
        default: "'direct'",
        doc: "The channels, separated by commas, that last_non_direct passes over and that ignore_direct means.",
    },
    Parameter {
        name: "ignore_direct",
        kind: Kind::Choice(&["never", "unless_only"]),
        default: "'never'",
        doc: "A direct touch counts as any other, or only where the journey has no other.",
    },
    Parameter {
        name: "only_channels",
        kind: Kind::Names,
        default: "all",
        doc: "Touches of other channels are refused before credit is shared.",
    },
    Parameter {
        name: "ignore_channels",
        kind: Kind::Names,
        default: "none",
        doc: "Touches of these channels are refused before credit is shared.",
    },
    Parameter {
        name: "only_campaigns",
        kind: Kind::Names,
        default: "all",
        doc: "Touches of other campaigns are refused before credit is shared.",
    },
    Parameter {
        name: "ignore_campaigns",
        kind: Kind::Names,
        default: "none",
        doc: "Touches of these campaigns are refused before credit is shared.",
    },
    Parameter {
        name: "decay",
        kind: Kind::Choice(&["continuous", "stepped"]),
        default: "'continuous'",
        doc: "Time decay halves all the time, or at the end of each half-life before the order.",
    },
    Parameter {
        name: "custom_first",
        kind: Kind::Weight,
        default: "0.4",
        doc: "The weight of the first touch under custom.",
    },
    Parameter {
        name: "custom_between",
        kind: Kind::Weight,
        default: "0.2",
        doc: "The weight of all touches between the first and the last, together, under custom.",
    },
    Parameter {
        name: "custom_last",
        kind: Kind::Weight,
        default: "0.4",
        doc: "The weight of the last touch under custom.",
    },
    Parameter {
        name: "refunds",
        kind: Kind::Choice(&["cash", "cohort"]),
        default: "'cash'",
        doc: "A refund is booked on its own date, or on its order's.",
    },
    Parameter {
        name: "currency",
        kind: Kind::Currency,
        default: "each order's own",
        doc: "The ISO 4217 code that amounts are reported in, at the rate of the order's date in the table rates. An order without a rate of its last seven days keeps its own currency.",
    },
];

impl Rules {
    /// Reads the options among a function's arguments.
    pub fn try_new(arguments: &Arguments) -> Result<Self> {
        let standard = Self::default();
        let days = |name: &str, default: f64| arguments.number(name).map(|days| days.unwrap_or(default));
        let half_life_days = days("half_life_days", standard.half_life_us / DAY_US)?;
        if half_life_days <= 0.0 {
            return arguments.invalid("half_life_days", "must be more than 0");
        }
        let weights = ["custom_first", "custom_between", "custom_last"].map(|name| arguments.number(name));
        let [first, between, last] = weights;
        let custom = match (first?, between?, last?) {
            (None, None, None) => standard.custom,
            (first, between, last) => {
                EndWeights::from_numbers(first.unwrap_or(0.4), between.unwrap_or(0.2), last.unwrap_or(0.4))
            }
        };
        let filter = |only: &str, ignore: &str| -> Result<NameFilter> {
            Ok(NameFilter {
                only: arguments.names(only)?.unwrap_or_default(),
                ignore: arguments.names(ignore)?.unwrap_or_default(),
            })
        };
        Ok(Self {
            lookback_us: (days("lookback_days", 30.0)? * DAY_US).round() as i64,
            view_lookback_us: (days("view_lookback_days", 1.0)? * DAY_US).round() as i64,
            half_life_us: half_life_days * DAY_US,
            stepping: match arguments.choice("decay")? {
                Some("stepped") => Stepping::Whole,
                _ => Stepping::Continuous,
            },
            views: match arguments.choice("views")? {
                Some("counted") => Views::Counted,
                Some("ignored") => Views::Ignored,
                _ => Views::Superseded,
            },
            reuse: match arguments.choice("reuse")? {
                Some("reset_at_conversion") => Reuse::ResetAtConversion,
                Some("next_conversion_only") => Reuse::NextConversionOnly,
                _ => Reuse::All,
            },
            collapse: match arguments.choice("collapse")? {
                Some("consecutive") => Collapse::Consecutive,
                Some("unique") => Collapse::Unique,
                _ => Collapse::None,
            },
            direct: arguments.names("direct_channels")?.unwrap_or(standard.direct),
            ignore_direct: arguments.choice("ignore_direct")? == Some("unless_only"),
            channels: filter("only_channels", "ignore_channels")?,
            campaigns: filter("only_campaigns", "ignore_campaigns")?,
            custom,
            refunds: match arguments.choice("refunds")? {
                Some("cohort") => RefundView::Cohort,
                _ => RefundView::Cash,
            },
            currency: arguments.currency("currency")?,
            include_refused: arguments.flag("include_refused")?.unwrap_or(false),
            refused_us: arguments.number("refused_days")?.map(|days| (days * DAY_US).round() as i64),
        })
    }

    /// Whether which touches count depends on their channels.
    pub fn need_channels(&self) -> bool {
        self.collapse != Collapse::None || self.ignore_direct
    }

    /// Whether every touch in the window counts, but for views beside clicks.
    pub fn count_all(&self) -> bool {
        self.reuse == Reuse::All && self.collapse == Collapse::None && !self.ignore_direct
    }

    /// How far an order looks back, in microseconds.
    pub fn longest_lookback_us(&self) -> i64 {
        self.lookback_us.max(self.view_lookback_us)
    }

    /// How far before the window and after the order touches matter that it does not count: for themselves where they are
    /// listed, and else for the reason of an order that counts none.
    pub fn beyond_window_us(&self, gives_reasons: bool) -> i64 {
        match self.refused_us {
            Some(us) if self.include_refused => us,
            _ if self.include_refused || gives_reasons => i64::MAX,
            _ => 0,
        }
    }
}
