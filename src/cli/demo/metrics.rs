//! Daily totals of each placement, as an advertising platform and a web analytics tool would report them.
//! Costs are the sums of the touches' costs, to the cent; conversions and revenue are those of the last click.

use serde::Serialize;

use super::catalogue::PLACEMENTS;
use super::journey::{Journey, JourneySource};
use super::model::CHANNELS;
use super::rows::{money, push};
use super::stores::instant;

/// Sums of one placement and local day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub clicks: i64,
    pub views: i64,
    pub conversions: i64,
    pub revenue_minor: i64,
    pub cost_minor: i64,
}

/// Totals by local day and placement.
#[derive(Debug)]
pub struct DailyTotals {
    source: JourneySource,
    cells: Vec<Totals>,
}

#[derive(Serialize)]
struct MetricsRow {
    channel: &'static str,
    source: &'static str,
    campaign: &'static str,
    date: String,
    sessions: i64,
    pageviews: i64,
    unique_visitors: i64,
    session_seconds: i64,
    bounces: i64,
    impressions: i64,
    clicks: i64,
    engagements: i64,
    conversions: i64,
    revenue: String,
    cost: String,
    currency: &'static str,
}

impl DailyTotals {
    pub fn new(source: JourneySource) -> Self {
        let cells = vec![Totals::default(); source.period.days as usize * PLACEMENTS.len()];
        Self { source, cells }
    }

    pub fn add(&mut self, journey: &Journey) {
        for touch in &journey.touches {
            if let Some(cell) = self.cell(touch.at_us, touch.placement.index) {
                if touch.is_view {
                    cell.views += 1;
                } else {
                    cell.clicks += 1;
                }
                cell.cost_minor += touch.cost_minor;
            }
        }
        for order in journey.orders.iter().filter(|order| order.status == "completed") {
            let Some(placement) = order.last_touch else { continue };
            if let Some(cell) = self.cell(order.at_us, placement.index) {
                cell.conversions += 1;
                cell.revenue_minor += order.revenue_minor;
            }
        }
    }

    /// Days with anything to report, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (chrono::NaiveDate, usize, Totals)> {
        let first_day = self.source.period.first_day;
        self.cells.iter().enumerate().filter(|(_, totals)| **totals != Totals::default()).map(
            move |(place, totals)| {
                let day = chrono::Days::new((place / PLACEMENTS.len()) as u64);
                (first_day + day, place % PLACEMENTS.len(), *totals)
            },
        )
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        for (date, placement, totals) in self.iter() {
            push(&self.row(date, placement, totals), out);
        }
    }

    /// What is not drawn follows from the clicks by fixed rates: beside each visitor with a journey there
    /// are others who leave at once.
    fn row(&self, date: chrono::NaiveDate, placement: usize, totals: Totals) -> MetricsRow {
        let placement = &PLACEMENTS[placement];
        let bounces = totals.clicks * 3 / 5;
        let sessions = (totals.clicks + bounces).max(totals.conversions);
        let has_views = CHANNELS[placement.channel].has_views;
        MetricsRow {
            channel: CHANNELS[placement.channel].name,
            source: placement.source,
            campaign: placement.campaign,
            date: date.to_string(),
            sessions,
            pageviews: totals.clicks * 4 + bounces,
            unique_visitors: sessions - sessions / 12,
            session_seconds: totals.clicks * 140 + bounces * 8,
            bounces,
            impressions: if has_views { totals.views * 40 + totals.clicks * 25 } else { 0 },
            clicks: totals.clicks + bounces,
            engagements: totals.clicks * 6 / 5 + totals.views / 10,
            conversions: totals.conversions,
            revenue: money(totals.revenue_minor, self.source.store.digits),
            cost: money(totals.cost_minor, self.source.store.digits),
            currency: self.source.store.currency,
        }
    }

    fn cell(&mut self, at_us: i64, placement: usize) -> Option<&mut Totals> {
        let local = instant(at_us).with_timezone(&self.source.store.time_zone).date_naive();
        let day = (local - self.source.period.first_day).num_days();
        let day = usize::try_from(day).ok()?;
        self.cells.get_mut(day * PLACEMENTS.len() + placement)
    }
}
