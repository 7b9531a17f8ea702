/*
summary = "The store's own time zone, currency and industry."
grain = "one row where the store has said so, else none"
*/

select
    timezone,
    upper(trim(currency)) as currency,
    industry
from stores
order by timezone, currency, industry
limit 1
