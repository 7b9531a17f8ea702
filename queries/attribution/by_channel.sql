/*
summary = "What each channel earned and cost: credited revenue, profit and conversions beside its spend."
grain = "one row per model, channel and currency"
rules = true
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
default = "first_touch,last_touch,linear,time_decay,position_based"
doc = "Models, separated by commas."
*/

-- Cost is what `metrics` says that the channel spent in the range. The cost on a touch is the same money
-- seen from the customer's side and is never added to it. Profit is null where an order's cost of goods is
-- not known. Conversions are fractions of orders; a refund takes money back, not the conversion.
with
store as (
    select coalesce(max(upper(trim(currency))), '') as currency
    from stores
),

totals as (
    select *
    from journey_totals(start => $start, "end" => $end, models => $model)
),

models as (
    select distinct
        model,
        model_order
    from totals
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
model_credits as (
    select
        model,
        lower(channel) as channel_key,
        first_value(channel order by first_touched_at, channel) as channel,
        coalesce(currency, '') as currency,
        sum(credit) as credited_revenue,
        case when sum(profit_row_count) = sum(row_count) then sum(profit) end as credited_profit,
        sum(conversions) as conversions
    from totals
    group by model, lower(channel), coalesce(currency, '')
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
