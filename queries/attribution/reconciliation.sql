/*
summary = "Proof that the credits of every model add up to the orders and refunds themselves."
grain = "one row per model and currency"
rules = true
checks = ["select * from answer where difference <> 0"]

[params.model]
type = "text"
default = "first_touch,last_touch,linear,time_decay,position_based,last_non_direct,j_shaped,inverse_j,w_shaped,position_decay,custom"
doc = "Models, separated by commas; participation gives each channel all, and adds up to more."
*/
with
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

model_sums as (
    select
        model,
        model_order,
        coalesce(currency, '') as currency,
        sum(credit) as credited
    from journey_totals(models => $model)
    group by model, model_order, coalesce(currency, '')
),

models as (
    select distinct
        model,
        model_order
    from model_sums
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
