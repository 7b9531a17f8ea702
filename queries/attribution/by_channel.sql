/*
summary = "What each channel earned and cost: credited revenue, profit and conversions beside its spend."
grain = "one row per model, channel and currency"
checks = [
    "select model, lower(channel), currency from answer group by model, lower(channel), currency having count(*) > 1",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.model]
type = "text"
values = ["first_touch", "last_touch", "linear", "time_decay", "position_based"]
doc = "One model; all five where it is not given."

[params.lookback_days]
type = "int"
default = 30
doc = "Days before an order in which a click counts."

[params.half_life_days]
type = "float"
default = 7
doc = "Days after which a touch weighs half under time decay."
*/

-- Cost is what `metrics` says that the channel spent in the range. The cost on a touch is the same money
-- seen from the customer's side and is never added to it. Profit is null where an order's cost of goods is
-- not known. Conversions are fractions of orders; a refund takes money back, not the conversion.
with
store as (
    select coalesce(max(upper(trim(currency))), '') as currency
    from stores
),

models as (
    select
        column1 as model,
        column2 as model_order
    from (
        values
            ('first_touch', 1),
            ('last_touch', 2),
            ('linear', 3),
            ('time_decay', 4),
            ('position_based', 5)
    )
    where $model is null or column1 = $model
),

costs as (
    select
        coalesce(nullif(trim(channel), ''), '(unknown)') as channel,
        date,
        source,
        campaign,
        coalesce(upper(trim(currency)), (select store.currency from store)) as currency,
        cost
    from metrics
    where
        cost <> 0
        and ($start is null or date >= $start)
        and ($end is null or date < $end)
),

-- A channel is shown as it was first written.
channel_credits as (
    select
        lower(channel) as channel_key,
        first_value(channel order by first_touched_at, channel) as channel,
        coalesce(currency, '') as currency,
        sum(first_touch_credit) as first_touch_credit,
        case when sum(profit_row_count) = sum(row_count) then sum(first_touch_profit) end as first_touch_profit,
        sum(first_touch_conversions) as first_touch_conversions,
        sum(last_touch_credit) as last_touch_credit,
        case when sum(profit_row_count) = sum(row_count) then sum(last_touch_profit) end as last_touch_profit,
        sum(last_touch_conversions) as last_touch_conversions,
        sum(linear_credit) as linear_credit,
        case when sum(profit_row_count) = sum(row_count) then sum(linear_profit) end as linear_profit,
        sum(linear_conversions) as linear_conversions,
        sum(time_decay_credit) as time_decay_credit,
        case when sum(profit_row_count) = sum(row_count) then sum(time_decay_profit) end as time_decay_profit,
        sum(time_decay_conversions) as time_decay_conversions,
        sum(position_based_credit) as position_based_credit,
        case when sum(profit_row_count) = sum(row_count) then sum(position_based_profit) end as position_based_profit,
        sum(position_based_conversions) as position_based_conversions
    from journey_totals($lookback_days, $half_life_days, $start, $end)
    group by lower(channel), coalesce(currency, '')
),

model_credits as (
    select
        channel_credits.channel_key,
        channel_credits.channel,
        channel_credits.currency,
        models.model,
        case models.model
            when 'first_touch' then first_touch_credit
            when 'last_touch' then last_touch_credit
            when 'linear' then linear_credit
            when 'time_decay' then time_decay_credit
            when 'position_based' then position_based_credit
        end as credited_revenue,
        case models.model
            when 'first_touch' then first_touch_profit
            when 'last_touch' then last_touch_profit
            when 'linear' then linear_profit
            when 'time_decay' then time_decay_profit
            when 'position_based' then position_based_profit
        end as credited_profit,
        case models.model
            when 'first_touch' then first_touch_conversions
            when 'last_touch' then last_touch_conversions
            when 'linear' then linear_conversions
            when 'time_decay' then time_decay_conversions
            when 'position_based' then position_based_conversions
        end as conversions
    from channel_credits
    cross join models
),

channel_costs as (
    select
        lower(channel) as channel_key,
        first_value(channel order by date, source, campaign, channel) as channel,
        currency,
        sum(cost) as cost
    from costs
    group by lower(channel), currency
),

model_costs as (
    select
        channel_costs.channel_key,
        channel_costs.channel,
        channel_costs.currency,
        models.model,
        channel_costs.cost
    from channel_costs
    cross join models
),

-- Cost without credit and credit without cost both stay visible.
joined as (
    select
        coalesce(model_credits.model, model_costs.model) as model,
        coalesce(model_credits.channel, model_costs.channel) as channel,
        nullif(coalesce(model_credits.currency, model_costs.currency), '') as currency,
        coalesce(model_credits.credited_revenue, 0) as credited_revenue,
        case when model_credits.model is null then 0 else model_credits.credited_profit end as credited_profit,
        cast(cast(coalesce(model_credits.conversions, 0) as decimal(30, 9)) as double) as conversions,
        coalesce(model_costs.cost, 0) as cost
    from model_credits
    full outer join model_costs
        on
            model_credits.channel_key = model_costs.channel_key
            and model_credits.currency = model_costs.currency
            and model_credits.model = model_costs.model
)

select
    joined.model,
    joined.channel,
    joined.currency,
    joined.credited_revenue,
    joined.credited_profit,
    joined.conversions,
    joined.cost,
    safe_ratio(cast(joined.credited_revenue as double), cast(joined.cost as double)) as roas,
    safe_ratio(cast(joined.credited_revenue - joined.cost as double), cast(joined.cost as double)) as roi,
    safe_ratio(cast(joined.credited_profit - joined.cost as double), cast(joined.cost as double)) as profit_roi,
    safe_ratio(cast(joined.cost as double), joined.conversions) as cpa
from joined
inner join models
    on joined.model = models.model
order by models.model_order, joined.credited_revenue desc, joined.channel, joined.currency
