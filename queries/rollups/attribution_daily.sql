/*
summary = "What each channel was credited with, by the day on which the order or refund was booked."
grain = "one row per store, day, channel, currency and model"
rules = true
materialize = true
checks = ["select store_id, date, lower(channel), currency, model from answer group by store_id, date, lower(channel), currency, model having count(*) > 1"]

[params.model]
type = "text"
default = "first_touch,last_touch,linear,time_decay,position_based"
doc = "Models, separated by commas."
*/

-- Days are the store's own. Profit is null where an order's cost of goods is not known.
with
totals as (
    select *
    from journey_totals(models => $model)
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
        model,
        model_order,
        sum(credit) as credited_revenue,
        case when sum(profit_row_count) = sum(row_count) then sum(profit) end as credited_profit,
        sum(conversions) as conversions
    from totals
    group by store_id, date, lower(channel), coalesce(currency, ''), model, model_order
)

select
    store_id,
    date,
    spellings.channel,
    nullif(currency, '') as currency,
    model,
    credited_revenue,
    credited_profit,
    cast(cast(conversions as decimal(30, 9)) as double) as conversions
from daily_credits
inner join spellings
    on daily_credits.channel_key = spellings.channel_key
order by store_id, date, model_order, spellings.channel, currency
