/*
summary = "Which channels meet the same customers: what journeys with both of two channels brought, and those with one alone."
grain = "one row per unordered pair of channels that share a journey, and one per channel alone, by currency"
rules = true
checks = [
    "select channel, other_channel, currency from answer group by channel, other_channel, currency having count(*) > 1",
    "select * from answer where channel >= other_channel and other_channel <> '(only)'",
    "select * from answer where conversions > channel_conversions or conversions > other_conversions",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."
*/

-- Channels are in lower case, and each counts once a journey. A journey of three channels is in three pairs, so that
-- pairs do not add up. Revenue is net of the refunds that were booked in the range.
with
paths as (
    select
        coalesce(currency, '') as currency,
        array_sort(array_distinct(channels)) as channels,
        conversions,
        revenue
    from journey_paths(start => $start, "end" => $end)
    where conversions > 0 or revenue <> 0
),

channel_sets as (
    select
        currency,
        channels,
        sum(conversions) as conversions,
        sum(revenue) as revenue
    from paths
    group by currency, channels
),

set_channels as (
    select
        currency,
        channels,
        unnest(channels) as channel,
        conversions,
        revenue
    from channel_sets
),

set_pairs as (
    select
        currency,
        channel,
        unnest(channels) as other_channel,
        cardinality(channels) = 1 as is_alone,
        conversions,
        revenue
    from set_channels
),

-- A channel is paired with itself: that is all journeys with it, and among them those with it alone.
pair_sums as (
    select
        currency,
        channel,
        other_channel,
        sum(conversions) as conversions,
        sum(revenue) as revenue,
        sum(case when is_alone then conversions else 0 end) as alone_conversions,
        sum(case when is_alone then revenue else 0 end) as alone_revenue
    from set_pairs
    group by currency, channel, other_channel
),

compared as (
    select
        *,
        max(case when channel = other_channel then conversions end) over (partition by currency, channel) as channel_conversions,
        max(case when channel = other_channel then conversions end) over (partition by currency, other_channel) as other_conversions
    from pair_sums
),

overlaps as (
    select
        nullif(currency, '') as currency,
        channel,
        case when channel = other_channel then '(only)' else other_channel end as other_channel,
        case when channel = other_channel then alone_conversions else conversions end as conversions,
        channel_conversions,
        case when channel = other_channel then null else other_conversions end as other_conversions,
        case when channel = other_channel then alone_revenue else revenue end as revenue
    from compared
    where channel <= other_channel
)

select
    channel,
    other_channel,
    currency,
    conversions,
    channel_conversions,
    other_conversions,
    safe_ratio(conversions, channel_conversions) as channel_share,
    safe_ratio(conversions, other_conversions) as other_share,
    revenue
from overlaps
order by currency, conversions desc, channel, other_channel
