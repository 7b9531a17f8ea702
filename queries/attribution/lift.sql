/*
summary = "What each channel adds to the chance of conversion, over a baseline of what would have come anyway, with intervals."
grain = "one row per channel, and one for the baseline"
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
-- and no rank.
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
        ),
        level => $level
    )
)

select
    case when lifts.share is not null then rank() over (order by lifts.share desc nulls last) end as channel_rank,
    lifts.channel,
    lifts.lift,
    lifts.lift_low,
    lifts.lift_high,
    lifts.share,
    lifts.share_low,
    lifts.share_high,
    lifts.expected_conversions,
    lifts.expected_low,
    lifts.expected_high,
    lifts.conversions,
    currencies.currency,
    case when currencies.currency is not null then lifts.value end as credited_revenue
from lifts
left join currencies
    on true
order by channel_rank nulls first, lifts.channel
