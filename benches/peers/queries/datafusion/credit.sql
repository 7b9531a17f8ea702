-- Tables, for a CTE that is used twice is run twice.
create table journeys as
with completed as (
    select
        order_id,
        customer_id,
        cast(ordered_at as bigint) as ordered_us,
        cast(revenue as double) as revenue
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, cast(touched_at as bigint) as touched_us, channel from touchpoints
)

select
    o.order_id,
    o.revenue,
    t.channel,
    t.touched_us,
    exp(ln(2) / (7 * 86400e6) * (t.touched_us - o.ordered_us)) as decay
from touches as t
inner join completed as o
    on t.customer_id = o.customer_id
    and t.touched_us between o.ordered_us - 30 * 86400000000 and o.ordered_us;

create table credited as
with totals as (
    select
        order_id,
        count(*) as touch_count,
        min(touched_us) as first_us,
        max(touched_us) as last_us,
        sum(decay) as total_decay
    from journeys
    group by order_id
)

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
group by channel;

with unattributed as (
    select
        (select cast(sum(revenue) as double) from orders where status = 'completed')
        - (select sum(first_touch) from credited) as revenue
)

select * from credited
union all
select
    '(unattributed)',
    revenue as first_touch,
    revenue as last_touch,
    revenue as linear,
    revenue as time_decay,
    revenue as position_based
from unattributed
