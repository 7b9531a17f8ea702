insert into stores values ('s', 'Shop', 'ecommerce', 'USD', 'Europe/Berlin', 'active');
insert into touchpoints values
    ('s', 't0', 'c1', '2025-01-01T10:00:00Z', 'direct', 'src', 'm', 'cmp', 'click', null),
    ('s', 't1', 'c1', '2026-03-01T10:00:00Z', 'Email', 'src', 'm', 'cmp', 'click', null),
    ('s', 't2', 'c1', '2026-03-08T10:00:00Z', 'paid_search', 'src', 'm', 'cmp', 'click', 0.5),
    ('s', 't3', 'c2', '2026-03-30T10:00:00Z', 'email', 'src', 'm', 'cmp', null, null);
insert into orders values
    ('s', 'o1', 'c1', '2026-03-10T10:00:00Z', 'completed', 'USD', 100.00, 40.00),
    ('s', 'o2', 'c2', '2026-03-31T21:59:59Z', 'completed', 'USD', 50.00, 20.00),
    ('s', 'o3', 'c2', '2026-03-31T22:00:00Z', 'completed', 'USD', 7.00, 1.00),
    ('s', 'o4', 'c3', '2026-03-12T10:00:00Z', 'cancelled', 'USD', 500.00, null),
    ('s', 'o5', 'c4', '2026-03-13T10:00:00Z', 'completed', 'JPY', 1000, null);
insert into refunds values
    ('s', 'r1', 'o1', '2026-03-20T10:00:00Z', 25.00),
    ('s', 'r4', 'o4', '2026-03-21T10:00:00Z', 500.00),
    ('s', 'r9', 'gone', '2026-03-22T10:00:00Z', 3.00);
insert into metrics values
    ('s', 'Email', 'crm', 'c', '2026-03-01', 100, 300, 80, 5000, 40, 1000, 200, 50, 4, 400.00, 10.00, 'USD'),
    ('s', ' email ', 'crm', 'd', '2026-03-02', 100, 100, 70, 1000, 20, 1000, 100, 30, 4, 200.00, 20.00, null),
    ('s', 'display', 'gdn', 'c', '2026-03-02', 0, 0, 0, 0, 0, 500, 5, 0, 0, 0, 12.50, 'USD'),
    ('s', null, '', '', '2026-03-02', 10, 10, 10, 10, 10, 0, 0, 0, 0, 5.00, 0, 'USD'),
    ('s', 'email', 'crm', 'c', '2026-02-27', 50, 60, 40, 100, 5, 100, 10, 5, 1, 150.00, 15.00, 'USD'),
    ('s', 'email', 'crm', 'c', '2026-02-26', 9, 9, 9, 9, 9, 9, 9, 9, 9, 9.00, 9.00, 'USD'),
    ('s', 'email', 'crm', 'c', '2026-03-03', 7, 7, 7, 7, 7, 7, 7, 7, 7, 7.00, 7.00, 'EUR');
insert into benchmark_seeds values
    ('all', 'roas', 'all', 1, 2, 3, 4, 'higher', 'ratio', 'seed all', '2024-01-01'),
    ('email', 'roas', 'all', 10, 20, 30, 40, 'higher', 'ratio', 'seed email', '2024-01-01'),
    ('email', 'conversion_rate', 'ecommerce (Shopify)', 0.5, 1.4, 3.2, 4.7, 'higher', 'percent of sessions', 'seed rate', '2023-01-01'),
    ('email', 'conversion_rate', 'ecommerce (C)', 5, 6, 7, 8, 'higher', 'percent', 'seed [quality C: use last]', '2026-01-01'),
    ('email', 'conversion_rate', 'ecommerce', 5, 6, 7, 8, 'higher', 'percent of recipients', 'seed recipients', '2026-01-01'),
    ('email', 'conversion_rate', 'ecommerce (half)', null, 1.9, null, 6.5, 'higher', 'percent', 'seed gaps', '2025-01-01'),
    ('email', 'cpa', 'all (cost per lead, 2025)', 30, 20, 10, 5, 'lower', 'USD', 'seed lead', '2025-01-01'),
    ('email', 'cpa', 'ecommerce', 30, 20, 10, 5, 'lower', 'EUR per purchase', 'seed eur', '2024-01-01'),
    ('email', 'engagement_rate', 'all', 1, 2, 3, 4, 'higher', 'percent of followers', 'seed followers', '2024-01-01');
insert into benchmarks values
    ('email', 'roas', 'ecommerce', 100, 200, 300, 400, 'higher', 'ratio', 'own', '2026-01-01');
