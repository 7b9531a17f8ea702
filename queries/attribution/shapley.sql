/*
summary = "Each channel's Shapley value: its fair part of conversions and revenue over all orders in which channels could have joined."
grain = "one row per channel, and one for what no touch led to"
rules = true
checks = [
    "select channel from answer group by channel having count(*) > 1",
    "select 1 from answer having sum(share) <> 0 and abs(sum(share) - 1) > 1e-9",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.worth]
type = "text"
default = "cumulative"
values = ["cumulative", "conversion_rate", "value_rate"]
doc = "What a set of channels is worth: the conversions of journeys within it, or their rate, or value, per journey; rates may give negative values."

[params.replicates]
type = "int"
default = 0
doc = "Samples of the journeys for the intervals, better 200 or more: few give rough ones, and none give none."

[params.level]
type = "float"
default = 0.95
doc = "The confidence level of the intervals, between 0 and 1."
*/

-- Journeys of all currencies make the model; revenue is shared out where they have one, and never added over several:
-- ask for one currency then. Channels are in lower case. What no touch led to is no channel: it has no
-- share and no rank.
with
currencies as (
    select max(currency) as currency
    from journey_paths(start => $start, "end" => $end)
    having count(distinct currency) = 1
),

credits as (
    select *
    from shapley(
        (
            select
                channels,
                conversions,
                case when currency is null then 0 else revenue end as value,
                non_conversions
            from journey_paths(start => $start, "end" => $end)
        ),
        worth => $worth,
        replicates => $replicates,
        level => $level
    )
)

select
    case when credits.share is not null then rank() over (order by credits.share desc nulls last) end as channel_rank,
    credits.channel,
    credits.shapley_value,
    credits.standard_error,
    credits.share,
    credits.share_low,
    credits.share_high,
    credits.conversions,
    currencies.currency,
    case when currencies.currency is not null then credits.value end as credited_revenue
from credits
left join currencies
    on true
order by channel_rank nulls last, credits.channel
