//! Where touches come from: sources, media and campaigns of each channel.

/// One source and campaign of a channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its place in [`PLACEMENTS`].
    pub index: usize,
    /// Its channel's place in the model's list.
    pub channel: usize,
    pub source: &'static str,
    pub medium: &'static str,
    /// Empty where the channel has no campaigns.
    pub campaign: &'static str,
    pub objective: &'static str,
    /// How often it is met, against the others of its channel.
    pub weight: u32,
}

const fn placement(
    index: usize,
    channel: usize,
    (source, medium): (&'static str, &'static str),
    (campaign, objective): (&'static str, &'static str),
    weight: u32,
) -> Placement {
    Placement { index, channel, source, medium, campaign, objective, weight }
}

const NONE: (&str, &str) = ("", "");

pub static PLACEMENTS: [Placement; 21] = [
    placement(0, 0, ("couponhub", "affiliate"), ("partner_evergreen", "sales"), 3),
    placement(1, 0, ("reviewlab", "affiliate"), ("partner_reviews", "sales"), 2),
    placement(2, 1, ("(direct)", "(none)"), NONE, 1),
    placement(3, 2, ("newsletter", "email"), ("weekly_digest", "engagement"), 5),
    placement(4, 2, ("newsletter", "email"), ("win_back", "retention"), 2),
    placement(5, 2, ("automation", "email"), ("cart_reminder", "sales"), 3),
    placement(6, 3, ("google", "organic"), NONE, 8),
    placement(7, 3, ("bing", "organic"), NONE, 2),
    placement(8, 3, ("duckduckgo", "organic"), NONE, 1),
    placement(9, 4, ("google", "cpc"), ("brand_search", "sales"), 4),
    placement(10, 4, ("google", "cpc"), ("generic_search", "sales"), 5),
    placement(11, 4, ("google", "cpc"), ("shopping", "sales"), 6),
    placement(12, 4, ("bing", "cpc"), ("generic_search_bing", "sales"), 2),
    placement(13, 5, ("facebook", "paid_social"), ("prospecting", "awareness"), 4),
    placement(14, 5, ("facebook", "paid_social"), ("retargeting", "sales"), 2),
    placement(15, 5, ("instagram", "paid_social"), ("creators", "awareness"), 4),
    placement(16, 5, ("tiktok", "paid_social"), ("spring_launch", "awareness"), 3),
    placement(17, 6, ("blog.example", "referral"), NONE, 3),
    placement(18, 6, ("forum.example", "referral"), NONE, 2),
    placement(19, 6, ("friends", "referral"), ("invite_a_friend", "sales"), 2),
    placement(20, 2, ("newsletter", "email"), ("product_news", "engagement"), 2),
];

/// Draws a placement of a channel by its weight from a uniform number in `[0, 1)`.
pub fn draw_placement(channel: usize, uniform: f64) -> &'static Placement {
    let own = || PLACEMENTS.iter().filter(|placement| placement.channel == channel);
    let total: u32 = own().map(|placement| placement.weight).sum();
    let mut left = uniform * f64::from(total);
    own()
        .find(|placement| {
            left -= f64::from(placement.weight);
            left < 0.0
        })
        .or_else(|| own().next_back())
        .unwrap_or(&PLACEMENTS[0])
}
