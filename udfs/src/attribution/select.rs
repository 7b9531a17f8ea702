//! Which of a customer's touches an order counts, and why not the others (attribution.md, rules 1 to 3, 9, 18, 22).

use super::rows::{
    AFTER_ORDER, COLLAPSED, CREDITED, DIRECT_IGNORED, EARLIER_ORDER, FILTERED_OUT, Reason, TOO_OLD,
    VIEW_IGNORED, VIEW_SUPERSEDED,
};
use super::rules::{Collapse, Reuse, Rules, Views};
use super::touches::{DIRECT, FILTERED, Touches, VIEW};
use super::weights::JourneyFacts;

/// Which of a customer's touches an order counts: a run of them, or chosen ones.
#[derive(Debug, Clone, Copy)]
pub enum Journey {
    Run { from: usize, to: usize },
    Chosen,
}

/// The choice for one order, and what the customer's earlier orders took: reusable room.
#[derive(Debug, Default)]
pub struct Selection {
    /// Touches that count, of the customer's.
    chosen: Vec<u32>,
    /// Why each touch that was looked at does not count; `CREDITED` where it does.
    reasons: Vec<Reason>,
    /// The first touch that was looked at.
    base: usize,
    /// The chosen touches' facts.
    at: Vec<i64>,
    channel: Vec<u32>,
    flags: Vec<u8>,
    /// The customer's last completed order before this one.
    previous_order_at: Option<i64>,
    /// Which touches an earlier order counted.
    counted: Vec<bool>,
}

impl Selection {
    /// Forgets the customer's orders.
    pub fn begin_customer(&mut self) {
        self.previous_order_at = None;
        self.counted.clear();
    }

    /// Begins with a customer whose last order is known.
    pub fn begin_after(&mut self, previous_order_at: Option<i64>) {
        self.begin_customer();
        self.previous_order_at = previous_order_at;
    }

    /// Chooses the touches that an order counts; orders come as they were made.
    pub fn choose(&mut self, ordered_at: i64, touches: &Touches, rules: &Rules) -> Journey {
        let is_plain = touches.any_flags & (VIEW | FILTERED) == 0 && rules.count_all();
        if is_plain && !rules.include_refused {
            let earliest = ordered_at.saturating_sub(rules.lookback_us);
            let from = touches.at.partition_point(|&at| at < earliest);
            let to = from + touches.at[from..].partition_point(|&at| at <= ordered_at);
            return Journey::Run { from, to };
        }
        self.judge(ordered_at, touches, rules);
        let base = self.base;
        self.chosen.clear();
        let counts = self.reasons.iter().enumerate().filter(|(_, reason)| **reason == CREDITED);
        self.chosen.extend(counts.map(|(k, _)| (base + k) as u32));
        if rules.reuse == Reuse::NextConversionOnly {
            self.counted.resize(touches.at.len(), false);
            for &k in &self.chosen {
                self.counted[k as usize] = true;
            }
        }
        self.previous_order_at = Some(ordered_at);
        self.gather(touches);
        Journey::Chosen
    }

    /// How many touches a journey has.
    pub fn len(&self, journey: Journey) -> usize {
        match journey {
            Journey::Run { from, to } => to - from,
            Journey::Chosen => self.chosen.len(),
        }
    }

    /// A journey's touches, of the customer's.
    pub fn chosen(&self) -> &[u32] {
        &self.chosen
    }

    /// What a journey's touches are weighed by.
    pub fn facts<'a>(&'a self, journey: Journey, ordered_at: i64, touches: &'a Touches) -> JourneyFacts<'a> {
        match journey {
            Journey::Run { from, to } => JourneyFacts {
                ordered_at,
                at: &touches.at[from..to],
                channel: touches.channel.get(from..to).unwrap_or_default(),
                flags: if touches.any_flags == 0 { &[] } else { &touches.flags[from..to] },
            },
            Journey::Chosen => {
                JourneyFacts { ordered_at, at: &self.at, channel: &self.channel, flags: &self.flags }
            }
        }
    }

    /// The customer's touches that the last order does not count, each with the reason: those in the window, and those
    /// beyond it that are to be listed.
    pub fn refused(&self) -> impl Iterator<Item = (usize, Reason)> {
        let reasons = self.reasons.iter().enumerate();
        reasons.filter(|(_, reason)| **reason != CREDITED).map(|(k, &reason)| (self.base + k, reason))
    }

    /// Whether there is a touch that could have counted, or would be listed.
    pub fn knows_any(&self, touches: &Touches, rules: &Rules) -> bool {
        if rules.include_refused { !self.reasons.is_empty() } else { !touches.is_empty() }
    }

    /// Finds the reason of every touch in the longest window, and of those beyond it that are to be listed.
    fn judge(&mut self, ordered_at: i64, touches: &Touches, rules: &Rules) {
        let click_from = ordered_at.saturating_sub(rules.lookback_us);
        let view_from = ordered_at.saturating_sub(rules.view_lookback_us);
        let beyond_us = rules.beyond_window_us(false);
        let earliest = click_from.min(view_from).saturating_sub(beyond_us);
        let latest = ordered_at.saturating_add(beyond_us);
        let from = touches.at.partition_point(|&at| at < earliest);
        let to = from + touches.at[from..].partition_point(|&at| at <= latest);
        let used_until = match rules.reuse {
            Reuse::ResetAtConversion => self.previous_order_at,
            Reuse::All | Reuse::NextConversionOnly => None,
        };
        let counted = |k: usize| self.counted.get(k).copied().unwrap_or(false);
        let reason = |k: usize| {
            let (at, flags) = (touches.at[k], touches.flags[k]);
            let is_view = flags & VIEW != 0;
            if at > ordered_at {
                AFTER_ORDER
            } else if at < if is_view { view_from } else { click_from } {
                TOO_OLD
            } else if flags & FILTERED != 0 {
                FILTERED_OUT
            } else if is_view && rules.views == Views::Ignored {
                VIEW_IGNORED
            } else if used_until.is_some_and(|until| at <= until) || counted(k) {
                EARLIER_ORDER
            } else {
                CREDITED
            }
        };
        self.base = from;
        self.reasons.clear();
        self.reasons.extend((from..to).map(reason));
        if rules.views == Views::Superseded {
            self.prefer(touches, |flags| flags & VIEW == 0, VIEW_SUPERSEDED);
        }
        if rules.ignore_direct {
            self.prefer(touches, |flags| flags & DIRECT == 0, DIRECT_IGNORED);
        }
        self.collapse(touches, rules.collapse);
    }

    /// Where any touch that counts is preferred, refuses those that are not.
    fn prefer(&mut self, touches: &Touches, is_preferred: impl Fn(u8) -> bool, refused: Reason) {
        let flags = &touches.flags[self.base..];
        let any =
            self.reasons.iter().zip(flags).any(|(&reason, &flags)| reason == CREDITED && is_preferred(flags));
        if !any {
            return;
        }
        for (reason, &flags) in self.reasons.iter_mut().zip(flags) {
            if *reason == CREDITED && !is_preferred(flags) {
                *reason = refused;
            }
        }
    }

    fn collapse(&mut self, touches: &Touches, collapse: Collapse) {
        if collapse == Collapse::None {
            return;
        }
        let channels = &touches.channel[self.base..];
        let seen = &mut self.channel;
        seen.clear();
        for (reason, &channel) in self.reasons.iter_mut().zip(channels) {
            if *reason != CREDITED {
                continue;
            }
            let is_repeated = match collapse {
                Collapse::Consecutive => seen.last() == Some(&channel),
                Collapse::None | Collapse::Unique => seen.contains(&channel),
            };
            if is_repeated {
                *reason = COLLAPSED;
            } else {
                seen.push(channel);
            }
        }
    }

    fn gather(&mut self, touches: &Touches) {
        let chosen = || self.chosen.iter().map(|&k| k as usize);
        self.at.clear();
        self.at.extend(chosen().map(|k| touches.at[k]));
        self.flags.clear();
        self.flags.extend(chosen().map(|k| touches.flags[k]));
        self.channel.clear();
        if !touches.channel.is_empty() {
            self.channel.extend(chosen().map(|k| touches.channel[k]));
        }
    }
}
