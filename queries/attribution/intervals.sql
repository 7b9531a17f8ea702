/*
summary = "How sure a channel's credit is: confidence intervals of credited revenue and ROAS, and whether the next better channel is really better."
grain = "one row per model, channel and currency with credit"
rules = true
checks = [
    "select model, lower(channel), currency from answer group by model, lower(channel), currency having count(*) > 1",
    "select * from answer where credited_revenue_low > credited_revenue or credited_revenue_high < credited_revenue or lead < 0",
    "select * from answer where (lead is null) <> (coalesce(channel_rank, 1) = 1)",
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

[params.level]
type = "float"
default = 0.95
doc = "The confidence level of the intervals, between 0 and 1."
*/

-- Customers are the units. How many come is taken as Poisson, so that the variance of a channel's credit is the sum of
-- its customers' squared credits, and the variance of the difference of two channels the sum of each customer's squared
-- difference between them. That holds however a customer's orders depend on each other, and is rough where customers are
-- few. It says nothing of the model's own error.
--
-- The next better channel stands one rank higher under the same model and currency. Its lead is its credit less the
-- channel's own, and it is larger where the interval of the lead lies above 0. (unattributed) is no channel and has no
-- rank. Cost is taken as known; what a channel without credit cost is in by_channel.
with
store as (
    select coalesce(max(upper(trim(currency))), '') as currency
    from stores
),

costs as (
    select
        lower(coalesce(nullif(trim(channel), ''), '(unknown)')) as channel_key,
        coalesce(upper(trim(currency)), (select store.currency from store)) as currency_key,
        cost
    from metrics
    where
        cost <> 0
        and ($start is null or date >= $start)
        and ($end is null or date < $end)
),

totals as (
    select *
    from journey_totals(start => $start, "end" => $end, models => $model)
),

credits as (
    select
        model,
        lower(channel) as channel_key,
        coalesce(currency, '') as currency_key,
        coalesce(customer_id, entry_id) as customer_key,
        credit
    from journey_credits(start => $start, "end" => $end, models => $model)
),

channel_costs as (
    select
        channel_key,
        currency_key,
        sum(cost) as cost
    from costs
    group by channel_key, currency_key
),

channel_credits as (
    select
        model,
        model_order,
        lower(channel) as channel_key,
        coalesce(currency, '') as currency_key,
        first_value(channel order by first_touched_at, channel) as channel,
        sum(credit) as credit
    from totals
    group by model, model_order, lower(channel), coalesce(currency, '')
),

channel_ranks as (
    select
        *,
        case
            when channel_key <> '(unattributed)'
                then row_number() over (partition by model, currency_key, channel_key = '(unattributed)' order by credit desc, channel_key)
        end as channel_rank
    from channel_credits
),

customer_credits as (
    select
        model,
        channel_key,
        currency_key,
        customer_key,
        cast(sum(credit) as decimal(18, 4)) as credit
    from credits
    group by model, channel_key, currency_key, customer_key
),

-- A customer's credits, the better channel's first.
ranked_credits as (
    select
        channel_ranks.model,
        channel_ranks.currency_key,
        channel_ranks.channel_key,
        channel_ranks.channel_rank,
        customer_credits.credit,
        lag(channel_ranks.channel_rank) over customer_channels as better_rank,
        lag(customer_credits.credit) over customer_channels as better_credit
    from customer_credits
    inner join channel_ranks
        on
            customer_credits.model = channel_ranks.model
            and customer_credits.channel_key = channel_ranks.channel_key
            and customer_credits.currency_key = channel_ranks.currency_key
    window customer_channels as (
        partition by channel_ranks.model, channel_ranks.currency_key, customer_credits.customer_key
        order by channel_ranks.channel_rank
    )
),

-- Squares are added as decimals: a sum of floats would depend on the order of the rows.
variances as (
    select
        model,
        currency_key,
        channel_key,
        sum(case when credit <> 0 then 1 else 0 end) as customer_count,
        sum(credit * credit) as variance,
        sum(case when better_rank = channel_rank - 1 then credit * better_credit else 0 end) as covariance
    from ranked_credits
    group by model, currency_key, channel_key
),

beside_better as (
    select
        channel_ranks.model,
        channel_ranks.model_order,
        channel_ranks.currency_key,
        channel_ranks.channel_key,
        channel_ranks.channel,
        channel_ranks.channel_rank,
        channel_ranks.credit,
        variances.customer_count,
        variances.variance,
        lag(channel_ranks.channel) over by_rank as better_channel,
        lag(channel_ranks.credit) over by_rank - channel_ranks.credit as lead,
        lag(variances.variance) over by_rank + variances.variance - 2 * variances.covariance as lead_variance
    from channel_ranks
    inner join variances
        on
            channel_ranks.model = variances.model
            and channel_ranks.currency_key = variances.currency_key
            and channel_ranks.channel_key = variances.channel_key
    window by_rank as (
        partition by channel_ranks.model, channel_ranks.currency_key, channel_ranks.channel_rank is null
        order by channel_ranks.channel_rank
    )
),

margins as (
    select
        beside_better.*,
        channel_costs.cost,
        cast(normal_deviation($level) * sqrt(cast(beside_better.variance as double)) as decimal(28, 4)) as margin,
        cast(normal_deviation($level) * sqrt(cast(beside_better.lead_variance as double)) as decimal(28, 4)) as lead_margin
    from beside_better
    left join channel_costs
        on
            beside_better.channel_key = channel_costs.channel_key
            and beside_better.currency_key = channel_costs.currency_key
)

select
    model,
    channel,
    nullif(currency_key, '') as currency,
    channel_rank,
    customer_count,
    credit as credited_revenue,
    credit - margin as credited_revenue_low,
    credit + margin as credited_revenue_high,
    coalesce(cost, 0) as cost,
    safe_ratio(credit, cost) as roas,
    safe_ratio(credit - margin, cost) as roas_low,
    safe_ratio(credit + margin, cost) as roas_high,
    better_channel as next_better_channel,
    lead,
    lead - lead_margin as lead_low,
    lead + lead_margin as lead_high,
    case
        when lead - lead_margin > 0 then 'larger'
        when lead_margin is not null then 'no significant difference'
    end as verdict
from margins
order by model_order, currency, channel_rank nulls last
