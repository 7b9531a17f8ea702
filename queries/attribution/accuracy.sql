/*
summary = "How near each model's shares come to those of lifts that are known, from experiments or from the demo."
grain = "one row per model and channel"
rules = true
checks = [
    "select model, channel from answer group by model, channel having count(*) > 1",
    "select model from answer group by model having abs(sum(true_share) - 1) > 1e-9",
]

[params.start]
type = "date"
doc = "First day of orders, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.chain_order]
type = "int"
default = 1
doc = "How many touches the Markov chain remembers, 1 to 4."
*/

-- Accuracy is 1 less half the sum of absolute differences: 1 where all shares are right. What comes without any channel
-- is in no share. A channel's true share is the sum over journeys of its Shapley value under the known lifts. Lifts are
-- estimated from journeys with touches: those without are only seen where they converted.
--
-- What is added up is decimal: a sum of floats would depend on the order of the rows.
with
known as (
    select
        array_agg(channel order by channel) as channels,
        array_agg(cast(lift as double) order by channel) as lifts
    from lifts
),

paths as (
    select
        channels,
        sum(conversions + non_conversions) as journey_count
    from journey_paths(start => $start, "end" => $end)
    where touch_count > 0
    group by channels
),

journey_credits as (
    select
        paths.journey_count,
        unnest(lift_credits(paths.channels, known.channels, known.lifts)) as credit
    from paths
    cross join known
),

true_credits as (
    select
        credit['channel'] as channel,
        sum(cast(journey_count * credit['expected'] as decimal(28, 10))) as expected
    from journey_credits
    where credit['channel'] <> '(baseline)'
    group by credit['channel']
),

true_shares as (
    select
        channel,
        safe_ratio(expected, sum(expected) over ()) as true_share
    from true_credits
),

model_conversions as (
    select
        model,
        model_order,
        lower(channel) as channel,
        sum(cast(conversions as decimal(28, 10))) as conversions
    from journey_totals(start => $start, "end" => $end)
    where channel <> '(unattributed)'
    group by model, model_order, lower(channel)
    union all
    select
        'markov',
        101,
        channel,
        cast(conversions as decimal(28, 10))
    from markov(journey_paths(start => $start, "end" => $end), chain_order => $chain_order)
    where removal_effect is not null
    union all
    select
        'shapley_cumulative',
        102,
        channel,
        cast(conversions as decimal(28, 10))
    from shapley(journey_paths(start => $start, "end" => $end))
    where shapley_value is not null
    union all
    select
        'shapley_conversion_rate',
        103,
        channel,
        cast(conversions as decimal(28, 10))
    from shapley(journey_paths(start => $start, "end" => $end), worth => 'conversion_rate')
    where shapley_value is not null
    union all
    select
        'lift',
        104,
        channel,
        cast(expected_conversions as decimal(28, 10))
    from lift(
        (
            select *
            from journey_paths(start => $start, "end" => $end)
            where
                touch_count > 0
                and exists (select 1 from lifts)
        )
    )
    where channel <> '(baseline)'
),

model_shares as (
    select
        model,
        model_order,
        channel,
        safe_ratio(conversions, sum(conversions) over (partition by model)) as share
    from model_conversions
),

compared as (
    select
        model_shares.model,
        model_shares.model_order,
        model_shares.channel,
        model_shares.share,
        true_shares.true_share,
        model_shares.share - true_shares.true_share as error
    from model_shares
    inner join true_shares
        on model_shares.channel = true_shares.channel
),

scored as (
    select
        *,
        1 - cast(sum(cast(abs(error) as decimal(20, 18))) over (partition by model) as double) / 2 as accuracy
    from compared
)

select
    model,
    accuracy,
    channel,
    share,
    true_share,
    error
from scored
order by accuracy desc, model_order, channel
