-- The pairs of order and touch are kept once and joined with each order's totals: quicker than windows over the pairs.
with completed as (
    select
        order_id,
        customer_id,
        epoch_us(ordered_at) as ordered_us,
        cast(revenue as double) as revenue
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, epoch_us(touched_at) as touched_us, channel from touchpoints
),

journeys as materialized (
    select
        o.order_id,
        o.revenue,
        t.channel,
        t.touched_us,
        exp(ln(2) / (7 * 86400e6) * (t.touched_us - o.ordered_us)) as decay
    from touches as t
    inner join completed as o
        on t.customer_id = o.customer_id
        and t.touched_us between o.ordered_us - 30 * 86400000000 and o.ordered_us
),

totals as (
    select
        order_id,
        count(*) as touch_count,
        min(touched_us) as first_us,
        max(touched_us) as last_us,
        sum(decay) as total_decay
    from journeys
    group by order_id
),

credited as materialized (
    select
        channel,
        sum(case when touched_us = first_us then revenue else 0 end) as first_touch,
        sum(case when touched_us = last_us then revenue else 0 end) as last_touch,
        sum(revenue / touch_count) as linear,
        sum(revenue * decay / total_decay) as time_decay,
        sum(revenue * case
            when touch_count = 1 then 1e0
            when touch_count = 2 then 0.5e0
            when touched_us = first_us or touched_us = last_us then 0.4e0
            else 0.2e0 / (touch_count - 2)
        end) as position_based
    from journeys
    inner join totals using (order_id)
    group by channel
),

unattributed as (
    select (select sum(revenue) from completed) - (select sum(first_touch) from credited) as revenue
)

select * from credited
union all
select '(unattributed)', revenue, revenue, revenue, revenue, revenue from unattributed
