/*
summary = "How far the models disagree about each channel: its credit from the least to the most, its rank, and the orders behind the difference."
grain = "one row per channel and currency"
rules = true
checks = [
    "select lower(channel), currency from answer group by lower(channel), currency having count(*) > 1",
    "select * from answer where spread <> max_credit - min_credit or spread < 0 or best_rank > worst_rank",
    "select * from answer where channel = '(unattributed)' and spread <> 0",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.model]
type = "text"
default = "first_touch,last_touch,linear,time_decay,position_based,last_non_direct,j_shaped,inverse_j,w_shaped,position_decay,custom"
doc = "Models to compare, separated by commas; participation gives each channel all, and would always give the most."

[params.order_count]
type = "int"
default = 5
doc = "How many orders to name for each channel."
*/

-- An order makes the difference where the model that gives the channel the most gives it more of this order than the
-- model that gives it the least; over all orders these differences are the spread. A rank is the channel's place by
-- credit among those of its currency under one model; (unattributed) is no channel and has none.
with
totals as (
    select *
    from journey_totals(start => $start, "end" => $end, models => $model)
),

model_credits as (
    select
        lower(channel) as channel_key,
        coalesce(currency, '') as currency_key,
        model,
        model_order,
        first_value(channel order by first_touched_at, channel) as channel,
        sum(credit) as credit
    from totals
    group by lower(channel), coalesce(currency, ''), model, model_order
),

model_ranks as (
    select
        *,
        case
            when channel_key <> '(unattributed)'
                then rank() over (partition by currency_key, model, channel_key = '(unattributed)' order by credit desc)
        end as model_rank
    from model_credits
),

-- Of models that give the same, the first one is named.
channel_ranges as (
    select
        channel_key,
        currency_key,
        min(channel) as channel,
        count(*) as model_count,
        min(credit) as min_credit,
        max(credit) as max_credit,
        first_value(model order by credit, model_order) as min_model,
        first_value(model order by credit desc, model_order) as max_model,
        first_value(model_order order by credit, model_order) as min_model_order,
        first_value(model_order order by credit desc, model_order) as max_model_order,
        min(model_rank) as best_rank,
        max(model_rank) as worst_rank
    from model_ranks
    group by channel_key, currency_key
),

-- A model's credit stands at its number.
touches as (
    select
        lower(channel) as channel_key,
        coalesce(currency, '') as currency_key,
        order_id,
        [
            first_touch_credit,
            last_touch_credit,
            linear_credit,
            time_decay_credit,
            position_based_credit,
            last_non_direct_credit,
            j_shaped_credit,
            inverse_j_credit,
            w_shaped_credit,
            position_decay_credit,
            custom_credit,
            participation_credit
        ] as credits
    from journeys(start => $start, "end" => $end)
),

order_differences as (
    select
        touches.channel_key,
        touches.currency_key,
        touches.order_id,
        sum(touches.credits[channel_ranges.max_model_order] - touches.credits[channel_ranges.min_model_order]) as difference
    from touches
    inner join channel_ranges
        on
            touches.channel_key = channel_ranges.channel_key
            and touches.currency_key = channel_ranges.currency_key
    where channel_ranges.min_credit < channel_ranges.max_credit
    group by touches.channel_key, touches.currency_key, touches.order_id
),

order_ranks as (
    select
        *,
        row_number() over (partition by channel_key, currency_key order by difference desc, order_id) as order_rank
    from order_differences
    where difference > 0
),

channel_orders as (
    select
        channel_key,
        currency_key,
        array_agg(order_id order by order_rank) as order_ids,
        array_agg(difference order by order_rank) as order_differences
    from order_ranks
    where order_rank <= $order_count
    group by channel_key, currency_key
)

select
    channel_ranges.channel,
    nullif(channel_ranges.currency_key, '') as currency,
    channel_ranges.model_count,
    channel_ranges.min_model,
    channel_ranges.min_credit,
    channel_ranges.max_model,
    channel_ranges.max_credit,
    channel_ranges.max_credit - channel_ranges.min_credit as spread,
    safe_ratio(
        channel_ranges.max_credit - channel_ranges.min_credit,
        greatest(abs(channel_ranges.min_credit), abs(channel_ranges.max_credit))
    ) as spread_share,
    channel_ranges.best_rank,
    channel_ranges.worst_rank,
    channel_ranges.worst_rank - channel_ranges.best_rank as rank_range,
    channel_orders.order_ids,
    channel_orders.order_differences
from channel_ranges
left join channel_orders
    on
        channel_ranges.channel_key = channel_orders.channel_key
        and channel_ranges.currency_key = channel_orders.currency_key
order by currency, spread desc, channel_ranges.channel
