/*
summary = "Proof that the credits of every model add up to the orders and refunds themselves."
grain = "one row per model and currency"
checks = ["select * from answer where difference <> 0"]

[params.lookback_days]
type = "int"
default = 30
doc = "Days before an order in which a click counts."

[params.half_life_days]
type = "float"
default = 7
doc = "Days after which a touch weighs half under time decay."
*/
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

completed_orders as (
    select
        order_id,
        currency,
        revenue
    from orders
    where status = 'completed'
),

other_orders as (
    select order_id
    from orders
    where status <> 'completed'
),

-- Money that was never credited is not taken back: a refund counts where its order is completed or unknown.
counted_refunds as (
    select
        completed_orders.currency,
        refunds.amount
    from refunds
    left join completed_orders
        on refunds.order_id = completed_orders.order_id
    left anti join other_orders
        on refunds.order_id = other_orders.order_id
),

amounts as (
    select
        coalesce(currency, '') as currency,
        sum(amount) as amount,
        count(*) as entry_count
    from (
        select
            currency,
            revenue as amount
        from completed_orders
        union all
        select
            currency,
            -amount as amount
        from counted_refunds
    )
    group by coalesce(currency, '')
),

sums as (
    select
        coalesce(currency, '') as currency,
        sum(first_touch_credit) as first_touch_credit,
        sum(last_touch_credit) as last_touch_credit,
        sum(linear_credit) as linear_credit,
        sum(time_decay_credit) as time_decay_credit,
        sum(position_based_credit) as position_based_credit
    from journey_totals($lookback_days, $half_life_days)
    group by coalesce(currency, '')
),

model_sums as (
    select
        models.model,
        models.model_order,
        sums.currency,
        case models.model
            when 'first_touch' then first_touch_credit
            when 'last_touch' then last_touch_credit
            when 'linear' then linear_credit
            when 'time_decay' then time_decay_credit
            when 'position_based' then position_based_credit
        end as credited
    from sums
    cross join models
),

model_amounts as (
    select
        models.model,
        models.model_order,
        amounts.currency,
        amounts.amount,
        amounts.entry_count
    from amounts
    cross join models
),

compared as (
    select
        coalesce(model_sums.model, model_amounts.model) as model,
        coalesce(model_sums.model_order, model_amounts.model_order) as model_order,
        nullif(coalesce(model_sums.currency, model_amounts.currency), '') as currency,
        coalesce(model_amounts.entry_count, 0) as entry_count,
        coalesce(model_sums.credited, 0) as credited,
        coalesce(model_amounts.amount, 0) as amount
    from model_sums
    full outer join model_amounts
        on
            model_sums.model = model_amounts.model
            and model_sums.currency = model_amounts.currency
)

select
    model,
    currency,
    entry_count,
    credited,
    amount,
    credited - amount as difference
from compared
order by model_order, currency
