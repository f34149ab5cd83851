-- What makes a plain PostgreSQL server look like an instance of Greenplum 7 to a reader of the catalog.
-- Put into every template database by a single-user server, which runs a statement at each empty line.
-- The rows come from the configuration file of the instance, so that a database made from template0 has them too,
-- and an instance that is no master shows none, as on a real system.

CREATE VIEW pg_catalog.gp_segment_configuration AS
  SELECT * FROM pg_catalog.json_to_recordset(
    COALESCE(NULLIF(pg_catalog.current_setting('testkit.instances', true), ''), '[]')::json)
  AS x(dbid smallint, content smallint, role "char", preferred_role "char", mode "char", status "char",
       port integer, hostname text, address text, datadir text);

-- Rows lie on the segments in no order that a hash would explain: every table is DISTRIBUTED RANDOMLY.

CREATE VIEW pg_catalog.gp_distribution_policy AS
  SELECT c.oid AS localoid, 'p'::"char" AS policytype,
         (SELECT count(*)::integer FROM pg_catalog.gp_segment_configuration WHERE content >= 0 AND role = 'p') AS numsegments,
         ''::int2vector AS distkey, ''::oidvector AS distclass
  FROM pg_catalog.pg_class c
  WHERE c.relkind IN ('r', 'p', 'm') AND c.oid >= 16384;

