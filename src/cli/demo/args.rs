//! Arguments of the demo.

use chrono::NaiveDate;

use crate::cli::exit::{Failure, Outcome};

/// Generates three stores with known truth, lands them, runs the nightly batch and serves.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The stores `demo` (USD, New York), `demo-eu` (EUR, Berlin) and `demo-jp` (JPY, Tokyo) are drawn from a model \
in which the share of undecided customers that each channel wins is known: affiliate .02, direct .05, \
email .12, organic_search .08, paid_search .10, paid_social .04, referral .03; one in four comes anyway.

Sizes are met by the number and the length of journeys; those lifts stay as they are. What is there already is \
served at once: choose another --data for another demo.

Examples:
  tributary demo
  tributary demo --port 0
  tributary --data /tmp/small demo --touchpoints 20000 --orders 2000 --no-serve")]
pub struct DemoArgs {
    /// Seed of all randomness: the same seed, sizes and end give the same bytes
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Touchpoints of all stores together, about
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub touchpoints: u64,
    /// Orders of all stores together, about
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub orders: u64,
    /// Days that the data covers, up to --end
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub days: u32,
    /// The day at whose start the data ends (2026-11-21); today in UTC if not given
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    pub end: Option<NaiveDate>,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Port of Flight SQL on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 32010)]
    pub flight_port: u16,
    /// Port of the Postgres protocol on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 5433)]
    pub postgres_port: u16,
    /// Stop after the nightly batch
    #[arg(long)]
    pub no_serve: bool,
}

impl DemoArgs {
    /// The end given, or today: the only place where the demo looks at the clock.
    pub fn end_day(&self) -> NaiveDate {
        self.end.unwrap_or_else(|| chrono::Utc::now().date_naive())
    }

    /// Refuses days that no calendar has.
    pub fn verify(&self) -> Outcome {
        let days = chrono::Days::new(u64::from(self.days));
        match self.end_day().checked_sub_days(days) {
            Some(first) if first >= NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or(first) => Ok(()),
            _ => Err(Failure::usage("--end minus --days must not lie before 1970")),
        }
    }
}

fn parse_day(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|error| format!("write a date as 2026-11-21: {error}"))
}
