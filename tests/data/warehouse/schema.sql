-- Somebody's warehouse: all objects, no rows. See README.md.

CREATE SCHEMA sales;
CREATE SCHEMA "Odd Schema";
COMMENT ON SCHEMA sales IS 'what was sold; and to whom';

-- Types, domains, functions ------------------------------------------------------------------------------------------

CREATE TYPE sales.channel AS ENUM ('web', 'shop', 'tele''phone', 'very odd; "label"');
CREATE TYPE public.address AS (street text, zip integer);
CREATE DOMAIN public.posint AS integer CHECK (VALUE > 0);
CREATE DOMAIN public.mail AS text NOT NULL DEFAULT 'nobody@example.org' CONSTRAINT has_at CHECK (position('@' in VALUE) > 0);
CREATE TYPE public.span AS RANGE (subtype = numeric);

CREATE FUNCTION sales.tax(amount numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $body$
BEGIN
  -- a comment with 'quotes' and a ; semicolon
  RETURN round(amount * 0.19, 2);
END;
$body$;
CREATE FUNCTION public.add_one(i integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed := '2021-01-01 00:00:00';
  RETURN NEW;
END $$;
CREATE PROCEDURE public.nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE public.my_sum(integer) (SFUNC = int4_sum, STYPE = bigint, INITCOND = '0');
CREATE OPERATOR public.=+= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE CAST (sales.channel AS integer) WITH INOUT AS ASSIGNMENT;

-- Sequences ----------------------------------------------------------------------------------------------------------

CREATE SEQUENCE public.tickets START 1000 INCREMENT 5 CACHE 1;
CREATE SEQUENCE public.untouched MINVALUE -10 MAXVALUE 10 START -3 CYCLE;
CREATE SEQUENCE "Odd Schema"."seq ""ü""";

-- Tables -------------------------------------------------------------------------------------------------------------

CREATE TABLE sales.customer (
  customer_id integer PRIMARY KEY,
  name        text NOT NULL,
  email       public.mail,
  home        public.address,
  since       date DEFAULT '2020-01-01',
  rating      public.posint,
  UNIQUE (customer_id, email)
);
COMMENT ON TABLE sales.customer IS 'with a ''quoted'' comment';
COMMENT ON COLUMN sales.customer.home IS 'a line
and another; with \backslash';

CREATE TABLE sales.invoice (
  customer_id integer NOT NULL REFERENCES sales.customer ON DELETE CASCADE,
  number      integer NOT NULL,
  via         sales.channel DEFAULT 'web',
  amount      numeric(12, 3) CHECK (amount >= 0),
  tax         numeric GENERATED ALWAYS AS (amount * 0.19) STORED,
  changed     timestamp,
  PRIMARY KEY (customer_id, number)
);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON sales.invoice FOR EACH ROW EXECUTE FUNCTION public.stamp();
CREATE TRIGGER asleep AFTER DELETE ON sales.invoice FOR EACH STATEMENT EXECUTE FUNCTION public.stamp();
ALTER TABLE sales.invoice DISABLE TRIGGER asleep;

CREATE TABLE sales.line (
  customer_id integer,
  number      integer,
  position    smallint,
  article     varchar(40),
  FOREIGN KEY (customer_id, number) REFERENCES sales.invoice DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX line_article ON sales.line (lower(article)) WHERE position > 1;
CREATE INDEX invoice_via ON sales.invoice USING hash (via);
CREATE UNIQUE INDEX "Invoice by Amount" ON sales.invoice (customer_id, number DESC NULLS LAST) INCLUDE (amount);

CREATE TABLE sales.orders (id integer, day date, region text, amount numeric(10, 2)) PARTITION BY RANGE (day);
CREATE TABLE sales.orders_2020 PARTITION OF sales.orders FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE sales.orders_2021 PARTITION OF sales.orders FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')
  PARTITION BY LIST (region);
CREATE TABLE sales.orders_2021_eu PARTITION OF sales.orders_2021 FOR VALUES IN ('de', 'fr');
CREATE TABLE sales.orders_2021_us PARTITION OF sales.orders_2021 FOR VALUES IN ('ny', 'ca');
CREATE TABLE sales.orders_2021_rest PARTITION OF sales.orders_2021 DEFAULT;
CREATE TABLE sales.orders_rest PARTITION OF sales.orders DEFAULT;
CREATE INDEX orders_day ON sales.orders (day);

CREATE TABLE public.everything (
  id      integer,
  flag    boolean,
  small   smallint,
  big     bigint,
  exact   numeric,
  single  real,
  double  double precision,
  fixed   char(10),
  words   text,
  bytes   bytea,
  day     date,
  moment  timestamp,
  instant timestamptz,
  lasting interval,
  list    integer[],
  texts   text[],
  matrix  integer[][],
  js      jsonb,
  tree    xml,
  net     inet,
  uid     uuid,
  bits    bit varying(12),
  spot    point,
  found   tsvector,
  home    public.address,
  range   public.span,
  via     sales.channel
);
CREATE TABLE public.wide (id integer, filler text);
ALTER TABLE public.wide ALTER COLUMN filler SET STORAGE EXTERNAL;
CREATE TABLE public.empty (a integer, b text);
CREATE TABLE public.no_columns ();
CREATE TABLE public.dropped_column (a integer, gone text, b integer, c text DEFAULT 'c');
CREATE UNLOGGED TABLE public.unlogged (id integer, v text);
CREATE TABLE public.parent (id integer, v text);
CREATE TABLE public.child (extra integer) INHERITS (public.parent);
CREATE TABLE public.numbered (id integer, n serial, i integer GENERATED BY DEFAULT AS IDENTITY);

CREATE TABLE "Odd Schema"."we""ird. näme" ("Id" integer, "a ""b"" c" text, "select" integer, "tab	in" text);
CREATE TABLE "Odd Schema"."it's, a\b $1 % table" (id integer, t text);
CREATE TABLE public."MixedCase" ("Id" integer, v text);
CREATE TABLE public."select" (id integer, "from" text);
CREATE TABLE public."漢字" (id integer, "列" text);
CREATE TABLE public.a_name_of_sixty_three_bytes_which_is_all_that_postgresql_allows (id integer);
CREATE INDEX "Odd Idx; --" ON "Odd Schema"."we""ird. näme" ("a ""b"" c");
COMMENT ON TABLE "Odd Schema"."we""ird. näme" IS E'tab\there; -- no comment';

-- Views, rules, policies, grants --------------------------------------------------------------------------------------

CREATE VIEW sales.open_invoices AS SELECT customer_id, number, sales.tax(amount) AS tax FROM sales.invoice WHERE amount > 0;
CREATE VIEW sales."View of View" AS SELECT customer_id, sum(tax) AS tax FROM sales.open_invoices GROUP BY 1;
COMMENT ON VIEW sales."View of View" IS 'depends on the other';
CREATE MATERIALIZED VIEW sales.per_region AS SELECT region, count(*) AS orders, sum(amount) AS amount FROM sales.orders GROUP BY 1;
CREATE UNIQUE INDEX per_region_region ON sales.per_region (region);
CREATE MATERIALIZED VIEW public.never_filled AS SELECT 1 AS one WITH NO DATA;
CREATE RULE keep AS ON DELETE TO public.empty DO INSTEAD NOTHING;
CREATE RULE tell AS ON UPDATE TO public.empty DO ALSO NOTIFY told;
ALTER TABLE public."MixedCase" ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON public."MixedCase" USING ("Id" > 0);
CREATE STATISTICS sales.line_stats (dependencies) ON customer_id, number FROM sales.line;

DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'reader of sales') THEN CREATE ROLE "reader of sales"; END IF;
END $$;
GRANT USAGE ON SCHEMA sales TO "reader of sales";
GRANT SELECT ON sales.customer, sales.orders TO "reader of sales";
GRANT SELECT (name), UPDATE (rating) ON sales.customer TO "reader of sales";
GRANT EXECUTE ON FUNCTION public.add_one(integer) TO "reader of sales";
REVOKE EXECUTE ON FUNCTION sales.tax(numeric) FROM PUBLIC;
GRANT USAGE ON SEQUENCE public.tickets TO "reader of sales" WITH GRANT OPTION;
ALTER TABLE public.unlogged OWNER TO "reader of sales";
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO "reader of sales";
