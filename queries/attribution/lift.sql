/*
summary = "What each channel adds to the chance of conversion, over a baseline of what would have come anyway, with intervals."
grain = "one row per channel, one for the baseline, and one for what no touch led to"
rules = true
checks = [
    "select channel from answer group by channel having count(*) > 1",
    "select * from answer where lift < lift_low or lift > lift_high or lift_low < 0 or lift_high > 1",
    "select 1 from answer having sum(share) <> 0 and abs(sum(share) - 1) > 1e-9",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.level]
type = "float"
default = 0.95
doc = "The confidence level of the intervals, between 0 and 1."
*/

-- Journeys of all currencies make the model; revenue is shared out where they have one, and never added over several:
-- ask for one currency then. Channels are in lower case. The baseline is no channel: it has no share
-- and no rank. Journeys without a touch are only seen where they converted: nothing can be estimated from them, and they
-- are a row of their own.
with
currencies as (
    select max(currency) as currency
    from journey_paths(start => $start, "end" => $end)
    having count(distinct currency) = 1
),

lifts as (
    select *
    from lift(
        (
            select
                channels,
                conversions,
                case when currency is null then 0 else revenue end as value,
                non_conversions
            from journey_paths(start => $start, "end" => $end)
            where touch_count > 0
        ),
        level => $level
    )
),

untouched as (
    select
        sum(conversions) as conversions,
        sum(revenue) as revenue
    from journey_paths(start => $start, "end" => $end)
    where touch_count = 0
    having count(*) > 0
),

estimates as (
    select
        channel,
        lift,
        lift_low,
        lift_high,
        share,
        share_low,
        share_high,
        expected_conversions,
        expected_low,
        expected_high,
        conversions,
        value
    from lifts
    union all
    select
        '(unattributed)',
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        cast(conversions as double),
        revenue
    from untouched
)

select
    case when estimates.share is not null then rank() over (order by estimates.share desc nulls last) end as channel_rank,
    estimates.channel,
    estimates.lift,
    estimates.lift_low,
    estimates.lift_high,
    estimates.share,
    estimates.share_low,
    estimates.share_high,
    estimates.expected_conversions,
    estimates.expected_low,
    estimates.expected_high,
    estimates.conversions,
    currencies.currency,
    case when currencies.currency is not null then estimates.value end as credited_revenue
from estimates
left join currencies
    on true
order by channel_rank nulls first, estimates.channel
