-- Somebody's warehouse on a real Greenplum, 5 or newer up to 6: what only such a server has, and what every server has.
-- Runs through the master on an empty database. greenplum6.sql adds what Greenplum 5 does not know.

SET client_min_messages = warning;
SET standard_conforming_strings = on;

CREATE SCHEMA sales;
CREATE SCHEMA "Odd Schema";
COMMENT ON SCHEMA sales IS 'what was sold; and to whom';

-- Types, functions, text search ----------------------------------------------------------------------------------------

CREATE TYPE public.address AS (street text, zip integer);
CREATE TYPE sales.channel AS ENUM ('web', 'shop', 'tele''phone', 'very odd; label');
CREATE DOMAIN public.posint AS integer CHECK (VALUE > 0);
CREATE FUNCTION public.add_one(i integer) RETURNS integer AS 'SELECT $1 + 1' LANGUAGE sql IMMUTABLE;
CREATE FUNCTION sales.tax(amount numeric) RETURNS numeric AS $body$
BEGIN
  -- a comment with 'quotes' and a ; semicolon
  RETURN round(amount * 0.19, 2);
END;
$body$ LANGUAGE plpgsql IMMUTABLE;
CREATE FUNCTION public.stamp() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE AGGREGATE public.my_sum(integer) (SFUNC = int4_sum, STYPE = bigint, INITCOND = '0');
CREATE OPERATOR public.=+= (LEFTARG = integer, RIGHTARG = integer, PROCEDURE = int4eq);
CREATE TEXT SEARCH DICTIONARY public.plain (TEMPLATE = simple, StopWords = english);
CREATE TEXT SEARCH CONFIGURATION public.search (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION public.search ALTER MAPPING FOR asciiword WITH public.plain, english_stem;

CREATE SEQUENCE public.tickets START 1000 INCREMENT 5 CACHE 1;
CREATE SEQUENCE "Odd Schema"."seq ""ü""";

-- Heap tables, every distribution ---------------------------------------------------------------------------------------

CREATE TABLE sales.customer (
  customer_id integer PRIMARY KEY,
  name        text NOT NULL,
  home        public.address,
  since       date DEFAULT '2020-01-01',
  rating      public.posint
) DISTRIBUTED BY (customer_id);
INSERT INTO sales.customer
  SELECT i, 'customer ' || i, ROW('street, "no" ' || i, i % 99999)::public.address, date '2015-01-01' + i % 3000,
         CASE WHEN i % 3 > 0 THEN i % 3 END
  FROM generate_series(1, 5000) i;
COMMENT ON TABLE sales.customer IS 'with a ''quoted'' comment';
COMMENT ON COLUMN sales.customer.home IS E'a line\nand another; with \\backslash';

CREATE TABLE sales.invoice (
  customer_id integer REFERENCES sales.customer, number integer, via sales.channel DEFAULT 'web',
  amount numeric(12, 3) CHECK (amount >= 0), PRIMARY KEY (customer_id, number)
) DISTRIBUTED BY (customer_id, number);
INSERT INTO sales.invoice
  SELECT c, n, (ARRAY['web', 'shop', 'tele''phone', 'very odd; label'])[1 + c % 4]::sales.channel, c * 1.125 + n
  FROM generate_series(1, 5000) c, generate_series(1, 3) n;
CREATE TABLE sales.log (id serial, line text, at timestamp with time zone) DISTRIBUTED RANDOMLY;
INSERT INTO sales.log (line, at) SELECT 'line ' || i, timestamptz '2021-01-01 00:00:00+00' + i * interval '1 s'
  FROM generate_series(1, 3000) i;
CREATE TABLE sales.by_text (code varchar(20), d double precision, n numeric) DISTRIBUTED BY (code);
INSERT INTO sales.by_text SELECT 'code ' || i, i / 3.0, i * 0.1 FROM generate_series(1, 3000) i;
-- Hashed by the object ids of labels, which are others in every database.
CREATE TABLE sales.by_channel (via sales.channel, n integer) DISTRIBUTED BY (via);
CREATE TABLE sales.by_channels (vias sales.channel[], n integer) DISTRIBUTED BY (vias);
INSERT INTO sales.by_channel SELECT (ARRAY['web', 'shop', 'tele''phone', 'very odd; label'])[1 + i % 4]::sales.channel, i
  FROM generate_series(1, 400) i;
INSERT INTO sales.by_channels SELECT ARRAY[via], n FROM sales.by_channel;

CREATE TABLE public.everything (
  id integer, flag boolean, small smallint, big bigint, exact numeric, single real, double double precision,
  fixed char(10), words text, bytes bytea, day date, moment timestamp, instant timestamptz, lasting interval,
  list integer[], texts text[], net inet, bits bit varying(12), spot point, found tsvector,
  home public.address, via sales.channel
) DISTRIBUTED BY (id);
INSERT INTO public.everything VALUES
  (1, true, -32768, 9223372036854775807, 'NaN', 'NaN', 'Infinity', 'fixed', 'plain', E'\\000\\377\\\\.\\012', '9999-12-31', '-infinity',
   '2021-06-01 12:00:00.123456+02', '1 year -3 days 04:05:06.789', '{1,NULL,3}', E'{"a,b","q\\"uote",NULL,"NULL",""}',
   '10.0.0.0/8', B'101', '(1.5,-2)', to_tsvector('public.search', 'the quick foxes'),
   ROW(E'a "street"\\, (x)', NULL), 'very odd; label'),
  (2, false, 32767, -9223372036854775807, 123456789012345678901234567890.123456789, 3.4e38, 1e-300, '', '', '',
   '0044-03-15 BC', '4713-01-01 00:00:00 BC', '0001-01-01 00:00:00+00 BC', '-1700000 years', '{}', '{}', '::1', '',
   '(0,0)', '', ROW(NULL, NULL), 'web'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL);
INSERT INTO public.everything (id, words) VALUES
  (10, E'\\.'), (11, E'\\N'), (12, E'\\\\N'), (13, E'\n\\.\n'), (14, E'\\'), (15, E'a\\'), (16, E'\\\t'), (17, E'\t'), (18, E'\n'),
  (19, E'\r\n'), (20, E'COPY x FROM stdin;\n1\n\\.\n'), (21, ''''), (22, '"'), (23, '$$'), (24, '-- no comment'), (25, ';'),
  (26, E'\x01\x7f'), (27, 'ünïcödé €'), (28, '漢字 𝄞'), (29, ' '), (30, 'NULL'), (31, E'\\connect postgres'),
  (32, E'\\! touch /tmp/hacked'), (33, repeat('x', 9000)), (34, E'vt\x0b ff\x0c bs\x08');
CREATE TABLE public.wide (id integer, filler text) DISTRIBUTED BY (id);
INSERT INTO public.wide SELECT i, repeat(md5(i::text), 3000) FROM generate_series(1, 60) i;
CREATE TABLE public.empty (a integer, b text) DISTRIBUTED BY (a);
CREATE TABLE public.dropped_column (a integer, gone text, b integer, c text DEFAULT 'c') DISTRIBUTED BY (a);
INSERT INTO public.dropped_column SELECT i, 'gone', i * 2 FROM generate_series(1, 500) i;
ALTER TABLE public.dropped_column DROP COLUMN gone;
CREATE TABLE public.parent (id integer, v text) DISTRIBUTED BY (id);
CREATE TABLE public.child (extra integer) INHERITS (public.parent) DISTRIBUTED BY (id);
INSERT INTO public.parent SELECT i, 'p' FROM generate_series(1, 100) i;
INSERT INTO public.child SELECT i, 'c', i FROM generate_series(101, 200) i;

-- Append-only tables -----------------------------------------------------------------------------------------------------

CREATE TABLE sales.ao_plain (id integer, v text) WITH (appendonly = true) DISTRIBUTED BY (id);
INSERT INTO sales.ao_plain SELECT i, 'v ' || i FROM generate_series(1, 3000) i;
DELETE FROM sales.ao_plain WHERE id % 10 = 0;
UPDATE sales.ao_plain SET v = v || ' updated' WHERE id % 7 = 0;
CREATE TABLE sales.ao_zlib (id integer, v text, n numeric)
  WITH (appendonly = true, compresstype = zlib, compresslevel = 5, blocksize = 65536) DISTRIBUTED RANDOMLY;
INSERT INTO sales.ao_zlib SELECT i, md5(i::text), i * 0.5 FROM generate_series(1, 10000) i;
CREATE TABLE sales.columns (
  id integer ENCODING (compresstype = zlib, compresslevel = 1),
  v  text,
  d  date ENCODING (compresstype = rle_type),
  COLUMN n ENCODING (compresstype = zlib, compresslevel = 9, blocksize = 8192),
  n  numeric
) WITH (appendonly = true, orientation = column) DISTRIBUTED BY (id, v);
INSERT INTO sales.columns SELECT i, 'v ' || i, date '2021-01-01' + i % 100, i * 0.1 FROM generate_series(1, 10000) i;
CREATE TABLE sales.ao_empty (id integer) WITH (appendonly = true, orientation = column) DISTRIBUTED BY (id);

-- Partitioned tables ------------------------------------------------------------------------------------------------------

CREATE TABLE sales.orders (id integer, day date, amount numeric(10, 2), customer text)
  WITH (appendonly = true) DISTRIBUTED BY (id)
  PARTITION BY RANGE (day) (
    PARTITION m1 START (date '2021-01-01') INCLUSIVE,
    PARTITION m2 START (date '2021-02-01') INCLUSIVE,
    PARTITION m3 START (date '2021-03-01') INCLUSIVE
      WITH (appendonly = true, orientation = column, compresstype = zlib),
    PARTITION m4 START (date '2021-04-01') INCLUSIVE END (date '2021-05-01') EXCLUSIVE WITH (appendonly = false),
    DEFAULT PARTITION other);
INSERT INTO sales.orders
  SELECT i, date '2021-01-01' + i % 140, i % 1000 * 1.25, 'customer ' || i % 500 FROM generate_series(1, 20000) i;
CREATE TABLE sales.regions (id integer, region text, year integer) DISTRIBUTED BY (id)
  PARTITION BY LIST (region) SUBPARTITION BY RANGE (year)
  SUBPARTITION TEMPLATE (
    SUBPARTITION y20 START (2020) END (2021), SUBPARTITION y21 START (2021) END (2022), DEFAULT SUBPARTITION rest)
  (PARTITION eu VALUES ('de', 'fr'), PARTITION us VALUES ('ny', 'ca'), DEFAULT PARTITION world);
INSERT INTO sales.regions
  SELECT i, (ARRAY['de', 'fr', 'ny', 'ca', 'jp'])[1 + i % 5], 2019 + i % 4 FROM generate_series(1, 8000) i;

-- Odd names ---------------------------------------------------------------------------------------------------------------

CREATE TABLE "Odd Schema"."we""ird. näme" ("Id" integer, "a ""b"" c" text, "select" integer) DISTRIBUTED BY ("Id");
INSERT INTO "Odd Schema"."we""ird. näme" SELECT i, 'x ' || i, i % 9 FROM generate_series(1, 1000) i;
CREATE TABLE "Odd Schema"."it's, a\b $1 % table" (id integer, t text) WITH (appendonly = true) DISTRIBUTED BY (id);
INSERT INTO "Odd Schema"."it's, a\b $1 % table" SELECT i, 'y' FROM generate_series(1, 100) i;
CREATE TABLE public."MixedCase" ("Id" integer, v text) DISTRIBUTED BY ("Id");
INSERT INTO public."MixedCase" SELECT i, 'm' || i FROM generate_series(1, 100) i;
CREATE TABLE public."漢字" (id integer, "列" text) DISTRIBUTED BY (id);
INSERT INTO public."漢字" SELECT i, '列' || i FROM generate_series(1, 100) i;

-- External tables, indexes, views, rules, triggers, grants ------------------------------------------------------------------

CREATE EXTERNAL TABLE public.from_file (a integer, b text)
  LOCATION ('gpfdist://localhost:18081/none.txt') FORMAT 'TEXT' (DELIMITER '|' NULL '') LOG ERRORS SEGMENT REJECT LIMIT 10;
CREATE EXTERNAL WEB TABLE public.from_program (a text) EXECUTE 'echo ''hi; there''' ON MASTER FORMAT 'CSV';
CREATE WRITABLE EXTERNAL TABLE public.to_file (a integer, b text)
  LOCATION ('gpfdist://localhost:18081/out.txt') FORMAT 'TEXT' DISTRIBUTED BY (a);

CREATE INDEX invoice_amount ON sales.invoice (amount) WHERE number > 1;
CREATE INDEX customer_low ON sales.customer (lower(name));
CREATE INDEX columns_day ON sales.columns USING bitmap (d);
CREATE UNIQUE INDEX "Odd Idx; --" ON "Odd Schema"."we""ird. näme" ("Id", "a ""b"" c");
CREATE INDEX orders_day ON sales.orders (day);
CREATE INDEX found_idx ON public.everything USING gist (found);
CREATE VIEW sales.open_invoices AS SELECT customer_id, number, sales.tax(amount) AS tax FROM sales.invoice WHERE amount > 0;
CREATE VIEW sales."View of View" AS SELECT customer_id, sum(tax) AS tax FROM sales.open_invoices GROUP BY customer_id;
CREATE RULE tell AS ON UPDATE TO public.empty DO ALSO NOTHING;
CREATE TRIGGER stamp BEFORE INSERT ON public.empty FOR EACH ROW EXECUTE PROCEDURE public.stamp();

-- A role cannot be made "if it is not there" without a language; a failure here says that it is there.
\set ON_ERROR_STOP off
SET client_min_messages = fatal;
CREATE ROLE "reader of sales" RESOURCE QUEUE pg_default;
SET client_min_messages = warning;
\set ON_ERROR_STOP on
GRANT USAGE ON SCHEMA sales TO "reader of sales";
GRANT SELECT ON sales.customer TO "reader of sales";
GRANT SELECT ON sales.orders TO "reader of sales";
GRANT EXECUTE ON FUNCTION public.add_one(integer) TO "reader of sales";
REVOKE EXECUTE ON FUNCTION sales.tax(numeric) FROM PUBLIC;
GRANT USAGE ON SEQUENCE public.tickets TO "reader of sales" WITH GRANT OPTION;
ALTER TABLE sales.log OWNER TO "reader of sales";
SELECT setval('public.tickets', 1015, true), setval('"Odd Schema"."seq ""ü"""', 7, false);
ANALYZE;
