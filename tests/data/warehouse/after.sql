-- What needs the rows. See README.md.

ALTER TABLE public.dropped_column DROP COLUMN gone;
REFRESH MATERIALIZED VIEW sales.per_region;
SELECT setval('public.tickets', 1015, true), setval('"Odd Schema"."seq ""ü"""', 7, false);
SELECT setval('public.numbered_n_seq', 300), setval('public.numbered_i_seq', 300);
ANALYZE;
