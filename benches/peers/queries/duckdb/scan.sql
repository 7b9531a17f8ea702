with touches as (
    select sum(strlen(customer_id)), sum(epoch_us(touched_at) % 1000), sum(strlen(channel))
    from touchpoints
),

purchases as (
    select
        sum(order_id),
        sum(strlen(customer_id)),
        sum(epoch_us(ordered_at) % 1000),
        sum(strlen(status)),
        sum(revenue)
    from orders
)

select * from touches cross join purchases
