-- Rows with object ids: servers up to Greenplum 6, on top of greenplum.sql.
CREATE TABLE public.with_oids (a integer, b text) WITH (OIDS = true) DISTRIBUTED BY (a);
INSERT INTO public.with_oids SELECT i, 'o' || i FROM generate_series(1, 100) i;
