/*
summary = "What each channel was credited with, by the day on which the order or refund was booked."
grain = "one row per store, day, channel, currency and model"
materialize = true
checks = ["select store_id, date, lower(channel), currency, model from answer group by store_id, date, lower(channel), currency, model having count(*) > 1"]

[params.lookback_days]
type = "int"
default = 30
doc = "Days before an order in which a click counts."

[params.half_life_days]
type = "float"
default = 7
doc = "Days after which a touch weighs half under time decay."
*/

-- Days are the store's own. Profit is null where an order's cost of goods is not known.
with
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
),

totals as (
    select *
    from journey_totals($lookback_days, $half_life_days)
),

spellings as (
    select
        lower(channel) as channel_key,
        first_value(channel order by first_touched_at, channel) as channel
    from totals
    group by lower(channel)
),

daily_credits as (
    select
        store_id,
        date,
        lower(channel) as channel_key,
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
    from totals
    group by store_id, date, lower(channel), coalesce(currency, '')
)

select
    store_id,
    date,
    spellings.channel,
    nullif(currency, '') as currency,
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
    cast(
        cast(
            case models.model
                when 'first_touch' then first_touch_conversions
                when 'last_touch' then last_touch_conversions
                when 'linear' then linear_conversions
                when 'time_decay' then time_decay_conversions
                when 'position_based' then position_based_conversions
            end as decimal(30, 9)
        ) as double
    ) as conversions
from daily_credits
inner join spellings
    on daily_credits.channel_key = spellings.channel_key
cross join models
order by store_id, date, models.model_order, spellings.channel, currency
