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
store as (
    select
        coalesce(max(timezone), 'UTC') as timezone,
        coalesce(max(upper(trim(currency))), '') as currency
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
),

entries as (
    select
        store_id,
        local_day(booked_at, (select store.timezone from store)) as date,
        coalesce(nullif(trim(channel), ''), '(unknown)') as channel,
        touched_at,
        touch_id,
        entry_kind,
        coalesce(currency, '') as currency,
        profit,
        first_touch_weight,
        first_touch_credit,
        first_touch_profit,
        last_touch_weight,
        last_touch_credit,
        last_touch_profit,
        linear_weight,
        linear_credit,
        linear_profit,
        time_decay_weight,
        time_decay_credit,
        time_decay_profit,
        position_based_weight,
        position_based_credit,
        position_based_profit
    from journeys($lookback_days, $half_life_days)
),

spellings as (
    select
        lower(channel) as channel_key,
        first_value(channel order by touched_at, touch_id) as channel
    from entries
    group by lower(channel)
),

daily_credits as (
    select
        store_id,
        date,
        lower(channel) as channel_key,
        currency,
        sum(first_touch_credit) as first_touch_credit,
        case when count(profit) = count(*) then sum(first_touch_profit) end as first_touch_profit,
        sum(case when entry_kind = 'order' then cast(first_touch_weight as decimal(20, 15)) else 0 end) as first_touch_conversions,
        sum(last_touch_credit) as last_touch_credit,
        case when count(profit) = count(*) then sum(last_touch_profit) end as last_touch_profit,
        sum(case when entry_kind = 'order' then cast(last_touch_weight as decimal(20, 15)) else 0 end) as last_touch_conversions,
        sum(linear_credit) as linear_credit,
        case when count(profit) = count(*) then sum(linear_profit) end as linear_profit,
        sum(case when entry_kind = 'order' then cast(linear_weight as decimal(20, 15)) else 0 end) as linear_conversions,
        sum(time_decay_credit) as time_decay_credit,
        case when count(profit) = count(*) then sum(time_decay_profit) end as time_decay_profit,
        sum(case when entry_kind = 'order' then cast(time_decay_weight as decimal(20, 15)) else 0 end) as time_decay_conversions,
        sum(position_based_credit) as position_based_credit,
        case when count(profit) = count(*) then sum(position_based_profit) end as position_based_profit,
        sum(case when entry_kind = 'order' then cast(position_based_weight as decimal(20, 15)) else 0 end) as position_based_conversions
    from entries
    group by store_id, date, lower(channel), currency
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
