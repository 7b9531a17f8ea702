/*
summary = "Each channel's removal effect in a Markov chain of the journeys, and its part of conversions and revenue."
grain = "one row per channel, and one for what no touch led to"
rules = true
checks = [
    "select channel from answer group by channel having count(*) > 1",
    "select * from answer where removal_effect < -1e-9 or removal_effect > 1 + 1e-9",
    "select 1 from answer having sum(share) <> 0 and abs(sum(share) - 1) > 1e-9",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.chain_order]
type = "int"
default = 1
doc = "How many touches the chain remembers, 1 to 4."

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
    from markov(
        (
            select
                channels,
                conversions,
                case when currency is null then 0 else revenue end as value,
                non_conversions
            from journey_paths(start => $start, "end" => $end)
        ),
        chain_order => $chain_order,
        replicates => $replicates,
        level => $level
    )
)

select
    case when credits.share is not null then rank() over (order by credits.share desc nulls last) end as channel_rank,
    credits.channel,
    credits.removal_effect,
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
