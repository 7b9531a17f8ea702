//! What can keep a model from an answer.

use std::fmt;

/// A reason why a model has no answer for the paths it was given.
///
/// `NoJourneys`, `NoConversions`, `NoNonConversions` and `NotIdentifiable` are facts about the data; `DidNotConverge` and
/// `Singular` are limits of the arithmetic; the others are requests that the caller can correct.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelError {
    /// A touch names a channel that is not below the channel count.
    UnknownChannel { channel: u32, channel_count: usize },
    /// The model cannot number this many channels, or takes no more than this.
    TooManyChannels { model: &'static str, channels: usize, most: usize },
    /// The counts of a model are exact up to 2^53 journeys.
    TooManyJourneys,
    /// A value is not a finite number.
    ValueNotFinite,
    /// There is no journey at all.
    NoJourneys,
    /// No journey converted, so that there is nothing to share out.
    NoConversions,
    /// Every journey converted, so that nothing tells journeys with a channel from those without.
    NoNonConversions,
    /// The order of a Markov chain lies outside 1 to 4.
    OrderOutOfRange { order: usize },
    /// A confidence level lies outside (0, 1).
    LevelOutOfRange { level: f64 },
    /// A count (of replicates, of permutations) is too small.
    CountTooSmall { what: &'static str, given: usize, least: usize },
    /// A linear system has no unique solution.
    Singular { what: &'static str },
    /// An iteration did not settle.
    DidNotConverge { what: &'static str, iterations: usize },
    /// The journeys cannot tell the lift of this channel from that of other channels or the baseline.
    NotIdentifiable { channel: u32 },
    /// The same, by the channel's name.
    NameNotIdentifiable { channel: String },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownChannel { channel, channel_count } => write!(
                f,
                "channel {channel} is not below the channel count {channel_count}: number channels from 0"
            ),
            Self::TooManyChannels { model, channels, most } => write!(
                f,
                "{model} takes at most {most} channels, not {channels}: merge small channels or choose another model"
            ),
            Self::TooManyJourneys => write!(f, "more than 2^53 journeys: choose a shorter range"),
            Self::ValueNotFinite => {
                write!(f, "the value of a path is not a finite number: correct the orders' amounts")
            }
            Self::NoJourneys => write!(f, "no journeys: choose a wider range"),
            Self::NoConversions => write!(f, "no journey converted: choose a wider range"),
            Self::NoNonConversions => {
                write!(f, "every journey converted: include the journeys that did not convert")
            }
            Self::OrderOutOfRange { order } => {
                write!(f, "order {order} of the markov chain is not one of 1, 2, 3, 4")
            }
            Self::LevelOutOfRange { level } => {
                write!(f, "confidence level {level} does not lie between 0 and 1: try 0.95")
            }
            Self::CountTooSmall { what, given, least } => {
                write!(f, "{given} {what} are too few: ask for at least {least}")
            }
            Self::Singular { what } => {
                write!(
                    f,
                    "the system of {what} has no unique solution: choose a wider range or merge channels"
                )
            }
            Self::DidNotConverge { what, iterations } => write!(
                f,
                "{what} did not settle in {iterations} iterations: choose a lower order or a wider range"
            ),
            Self::NotIdentifiable { channel } => {
                Self::NameNotIdentifiable { channel: channel.to_string() }.fmt(f)
            }
            Self::NameNotIdentifiable { channel } => write!(
                f,
                "the lift of channel {channel} cannot be told from that of others or from the baseline: merge it \
                 with the channels it always comes with, or include journeys without it"
            ),
        }
    }
}

impl std::error::Error for ModelError {}
