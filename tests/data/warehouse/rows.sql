-- Each server's share of the rows: those whose number, divided by :segments, leaves :content. See README.md.

INSERT INTO sales.customer
  SELECT i, 'customer ' || i, 'c' || i || '@example.org', ROW('street, "no" ' || i, i % 99999)::public.address,
         date '2015-01-01' + i % 3000, CASE WHEN i % 3 > 0 THEN i % 3 END
  FROM generate_series(1, 2000) i WHERE i % :segments = :content;
INSERT INTO sales.invoice (customer_id, number, via, amount)
  SELECT c, n, (ARRAY['web', 'shop', 'tele''phone', 'very odd; "label"'])[1 + c % 4]::sales.channel, c * 1.125 + n
  FROM generate_series(1, 2000) c, generate_series(1, 3) n WHERE c % :segments = :content;
INSERT INTO sales.line
  SELECT c, n, p, 'article ' || c * p FROM generate_series(1, 2000) c, generate_series(1, 3) n, generate_series(1, 4) p
  WHERE c % :segments = :content;
INSERT INTO sales.orders
  SELECT i, date '2019-06-01' + i % 1200, (ARRAY['de', 'fr', 'ny', 'ca', 'jp', NULL])[1 + i % 6], i % 1000 * 1.25
  FROM generate_series(1, 20000) i WHERE i % :segments = :content;

INSERT INTO public.everything
SELECT * FROM (VALUES
  (1, true, '-32768'::smallint, 9223372036854775807, 'NaN'::numeric, 'NaN'::real, 'Infinity'::double precision, 'fixed'::char(10),
   'plain', '\x00ff5c2e0a'::bytea, 'infinity'::date, '-infinity'::timestamp, '2021-06-01 12:00:00.123456+02'::timestamptz,
   '1 year -3 days 04:05:06.789'::interval, '{1,NULL,3}'::integer[], '{"a,b","q\"uote",NULL,"NULL",""}'::text[],
   '{{1,2},{3,4}}'::integer[], '{"a": [1, null, "\u00fc"], "b": "x\\ty"}'::jsonb, '<a b="c">&amp;</a>'::xml, '10.0.0.0/8'::inet,
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, B'101', '(1.5,-2)'::point, to_tsvector('english', 'the quick foxes'),
   ROW(E'a "street"\\, (x)', NULL)::public.address, '[1,2.5)'::public.span, 'very odd; "label"'::sales.channel),
  (2, false, 32767, -9223372036854775808, 123456789012345678901234567890.123456789, 3.4028235e38, 5e-324, '',
   '', '', '0044-03-15 BC', '4713-01-01 00:00:00 BC', '0001-01-01 00:00:00+00 BC', '-178000000 years', '{}', '{}', '{}',
   'null', '', '::1', '00000000-0000-0000-0000-000000000000', '', '(Infinity,0)', '', '(,)', 'empty', 'web'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL),
  (4, NULL, 0, 0, -0.0, '-0', '-0', ' lead', E'tab\tnew\nline\rreturn\b\f\x0b back\\slash', E'\\x5c2e', NULL, NULL, NULL, NULL,
   '[5:7]={1,2,3}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
) AS v WHERE v.column1 % :segments = :content;
-- Texts that have undone many a restore.
INSERT INTO public.everything (id, words)
SELECT 10 + n, t FROM unnest(ARRAY[
  E'\\.', E'\\N', E'\\\\N', E'\n\\.\n', E'\\', E'a\\', E'\\\t', E'\t', E'\n', E'\r\n', E'COPY x FROM stdin;\n1\n\\.\n', '''', '"', '$$',
  '-- no comment', '/* none */', ';', E'\x01\x7f', 'ünïcödé €', '漢字 𝄞', ' ', 'NULL', 'null', '{}', '%s %1$s', '$1', '${HOME}', '`id`',
  E'\\connect postgres', E'\\! touch /tmp/hacked', repeat('x', 9000)]) WITH ORDINALITY AS odd(t, n)
WHERE (10 + n) % :segments = :content;
-- A row of 3 MB, and some that TOAST cannot make smaller.
INSERT INTO public.wide SELECT 1, repeat('0123456789abcdef', 200000) WHERE 1 % :segments = :content;
INSERT INTO public.wide
  SELECT i, (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) j)
  FROM generate_series(2, 60) i WHERE i % :segments = :content;

INSERT INTO public.no_columns SELECT FROM generate_series(1, 7) i WHERE i % :segments = :content;
INSERT INTO public.dropped_column (a, gone, b) SELECT i, 'gone', i * 2 FROM generate_series(1, 500) i WHERE i % :segments = :content;
INSERT INTO public.unlogged SELECT i, 'u' || i FROM generate_series(1, 100) i WHERE i % :segments = :content;
INSERT INTO public.parent SELECT i, 'p' FROM generate_series(1, 100) i WHERE i % :segments = :content;
INSERT INTO public.child SELECT i, 'c', i FROM generate_series(101, 200) i WHERE i % :segments = :content;
INSERT INTO public.numbered (id, n, i) SELECT i, i, i FROM generate_series(1, 300) i WHERE i % :segments = :content;

INSERT INTO "Odd Schema"."we""ird. näme" SELECT i, 'x ' || i, i % 9, E'\t' FROM generate_series(1, 1000) i WHERE i % :segments = :content;
INSERT INTO "Odd Schema"."it's, a\b $1 % table" SELECT i, 'y' FROM generate_series(1, 50) i WHERE i % :segments = :content;
INSERT INTO public."MixedCase" SELECT i, 'm' || i FROM generate_series(1, 50) i WHERE i % :segments = :content;
INSERT INTO public."select" SELECT i, 'f' || i FROM generate_series(1, 50) i WHERE i % :segments = :content;
INSERT INTO public."漢字" SELECT i, '列' || i FROM generate_series(1, 50) i WHERE i % :segments = :content;
INSERT INTO public.a_name_of_sixty_three_bytes_which_is_all_that_postgresql_allows
  SELECT i FROM generate_series(1, 50) i WHERE i % :segments = :content;
