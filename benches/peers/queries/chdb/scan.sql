with touches as (
    select sum(length(customer_id)), sum(toUnixTimestamp64Micro(touched_at) % 1000), sum(length(channel))
    from touchpoints
),

purchases as (
    select
        sum(order_id),
        sum(length(customer_id)),
        sum(toUnixTimestamp64Micro(ordered_at) % 1000),
        sum(length(status)),
        sum(revenue)
    from orders
)

select * from touches cross join purchases
