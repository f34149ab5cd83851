-- What Greenplum 6 knows beyond greenplum.sql. Runs after it.

SET client_min_messages = warning;

CREATE TABLE sales.country (code char(2), name text) DISTRIBUTED REPLICATED;
INSERT INTO sales.country VALUES ('de', 'Germany'), ('fr', 'France'), ('us', 'United States'), ('xx', NULL);
CREATE TABLE sales.zstd_rows (id integer, v text)
  WITH (appendonly = true, compresstype = zstd, compresslevel = 3) DISTRIBUTED BY (id);
INSERT INTO sales.zstd_rows SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
CREATE TABLE sales.zstd_columns (id integer, v text ENCODING (compresstype = zstd))
  WITH (appendonly = true, orientation = column) DISTRIBUTED RANDOMLY;
INSERT INTO sales.zstd_columns SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
CREATE TABLE sales.by_old_hash (id integer, v text) DISTRIBUTED BY (id cdbhash_int4_ops);
INSERT INTO sales.by_old_hash SELECT i, 'v' FROM generate_series(1, 500) i;
CREATE TABLE public.newer (id integer, js json, jb jsonb, span int4range, uid uuid) DISTRIBUTED BY (id);
INSERT INTO public.newer VALUES
  (1, '{"a": [1, null]}', '{"b": "x\\ty"}', '[1,5)', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (2, 'null', '{}', 'empty', NULL);
CREATE UNLOGGED TABLE public.unlogged (id integer, v text) DISTRIBUTED BY (id);
INSERT INTO public.unlogged SELECT i, 'u' FROM generate_series(1, 100) i;
CREATE TABLE public.many_options (id integer) WITH (fillfactor = 70) DISTRIBUTED BY (id);
INSERT INTO public.many_options SELECT generate_series(1, 100);
CREATE MATERIALIZED VIEW sales.per_year AS
  SELECT year, count(*) AS orders FROM sales.regions GROUP BY year DISTRIBUTED BY (year);
CREATE MATERIALIZED VIEW public.never_filled AS SELECT 1 AS one WITH NO DATA DISTRIBUTED BY (one);
CREATE TYPE public.span AS RANGE (subtype = numeric);
CREATE COLLATION public.same_as_c (LC_COLLATE = 'C', LC_CTYPE = 'C');
CREATE EXTENSION citext;
CREATE TABLE public.folded (id integer, v citext) DISTRIBUTED BY (id);
INSERT INTO public.folded SELECT i, 'V' || i FROM generate_series(1, 100) i;
COMMENT ON MATERIALIZED VIEW sales.per_year IS 'depends on partitions';
GRANT SELECT (name) ON sales.country TO "reader of sales";
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO "reader of sales";
ANALYZE;
