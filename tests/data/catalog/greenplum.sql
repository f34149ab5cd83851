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

GRANT SELECT ON pg_catalog.gp_segment_configuration, pg_catalog.gp_distribution_policy TO PUBLIC;

-- Append-optimized tables: CREATE TABLE ... USING ao_row, or ao_column. The rows lie in a heap, but the catalog tells of
-- them what Greenplum 7 tells: on every instance a relation in pg_aoseg with counters of the changes made there, on the
-- master the last operations. Both are kept by triggers, in the transactions that make the changes.
-- No dump shows any of it: what is new here has a low object id, lies in a schema pg_..., is an internal trigger or belongs
-- to the extension plpgsql.

INSERT INTO pg_catalog.pg_am (oid, amname, amhandler, amtype)
  VALUES (7024, 'ao_row', 'heap_tableam_handler', 't'), (7025, 'ao_column', 'heap_tableam_handler', 't');

CREATE SCHEMA pg_aoseg;

GRANT USAGE ON SCHEMA pg_aoseg TO PUBLIC;

CREATE VIEW pg_catalog.pg_appendonly AS
  SELECT c.oid AS relid, s.oid AS segrelid FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_class s ON s.relname = 'pg_aoseg_' || c.oid AND s.relnamespace = 'pg_aoseg'::regnamespace
  WHERE c.relkind = 'r' AND c.relam IN (7024, 7025);

GRANT SELECT ON pg_catalog.pg_appendonly TO PUBLIC;

CREATE TABLE pg_catalog.pg_stat_last_operation (classid oid NOT NULL, objid oid NOT NULL, staactionname name,
  stasysid oid, stausename name, stasubtype text, statime timestamptz, PRIMARY KEY (objid, staactionname));

GRANT SELECT ON pg_catalog.pg_stat_last_operation TO PUBLIC;

-- Rights that the server came with: pg_dump does not tell them.

INSERT INTO pg_catalog.pg_init_privs
  SELECT oid, 'pg_catalog.pg_class'::regclass, 0, 'i', relacl FROM pg_catalog.pg_class
  WHERE relnamespace = 'pg_catalog'::regnamespace AND relname IN
    ('gp_segment_configuration', 'gp_distribution_policy', 'pg_appendonly', 'pg_stat_last_operation');

CREATE FUNCTION pg_catalog.testkit_note_operation(relation oid, action name, subtype text) RETURNS void
  LANGUAGE sql SECURITY DEFINER AS $$
  INSERT INTO pg_catalog.pg_stat_last_operation
    VALUES ('pg_catalog.pg_class'::regclass, relation, action, 10, session_user, subtype, clock_timestamp())
    ON CONFLICT (objid, staactionname) DO UPDATE SET stasubtype = excluded.stasubtype, statime = excluded.statime
$$;

-- A row for each change, so that two transactions which change one table do not wait for each other.

CREATE FUNCTION pg_catalog.testkit_count_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('DELETE FROM pg_aoseg.pg_aoseg_%s', TG_RELID);
    PERFORM pg_catalog.testkit_note_operation(TG_RELID, 'TRUNCATE', '');
  ELSE
    EXECUTE format('INSERT INTO pg_aoseg.pg_aoseg_%s VALUES (1, 1)', TG_RELID);
  END IF;
  RETURN NULL;
END
$$;

-- Of ALTER TABLE on a parent, those partitions hear whose columns it changed, as on a real Greenplum.

CREATE FUNCTION pg_catalog.testkit_after_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  command record;
  changed record;
BEGIN
  FOR command IN SELECT DISTINCT objid, command_tag FROM pg_catalog.pg_event_trigger_ddl_commands()
      WHERE classid = 'pg_catalog.pg_class'::regclass LOOP
    FOR changed IN SELECT c.oid, to_regclass('pg_aoseg.pg_aoseg_' || c.oid) IS NULL AS is_new FROM pg_catalog.pg_class c
        WHERE c.relkind = 'r' AND c.relam IN (7024, 7025) AND c.relpersistence <> 't' AND (c.oid = command.objid
          OR c.relispartition AND EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.xmin = pg_catalog.pg_current_xact_id()::xid)) LOOP
      IF changed.is_new THEN
        EXECUTE format('CREATE TABLE pg_aoseg.pg_aoseg_%s (segno int, modcount bigint) USING heap', changed.oid);
        EXECUTE format('GRANT SELECT ON pg_aoseg.pg_aoseg_%s TO PUBLIC', changed.oid);
        EXECUTE format('CREATE TRIGGER testkit_rows AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW
          EXECUTE FUNCTION pg_catalog.testkit_count_change()', changed.oid::regclass);
        EXECUTE format('CREATE TRIGGER testkit_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT
          EXECUTE FUNCTION pg_catalog.testkit_count_change()', changed.oid::regclass);
        UPDATE pg_catalog.pg_trigger SET tgisinternal = true WHERE tgrelid = changed.oid AND tgname LIKE 'testkit%';
        PERFORM pg_catalog.testkit_note_operation(changed.oid, 'CREATE', 'TABLE');
      END IF;
      IF command.command_tag = 'ALTER TABLE' THEN
        PERFORM pg_catalog.testkit_note_operation(changed.oid, 'ALTER', 'TABLE');
      END IF;
    END LOOP;
  END LOOP;
END
$$;

CREATE FUNCTION pg_catalog.testkit_after_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  dropped oid;
BEGIN
  FOR dropped IN SELECT objid FROM pg_catalog.pg_event_trigger_dropped_objects()
      WHERE classid = 'pg_catalog.pg_class'::regclass AND objsubid = 0 AND object_type = 'table' LOOP
    DELETE FROM pg_catalog.pg_stat_last_operation WHERE objid = dropped;
    IF to_regclass('pg_aoseg.pg_aoseg_' || dropped) IS NOT NULL THEN
      EXECUTE format('DROP TABLE pg_aoseg.pg_aoseg_%s', dropped);
    END IF;
  END LOOP;
END
$$;

CREATE EVENT TRIGGER testkit_after_ddl ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
  EXECUTE FUNCTION pg_catalog.testkit_after_ddl();

CREATE EVENT TRIGGER testkit_after_drop ON sql_drop EXECUTE FUNCTION pg_catalog.testkit_after_drop();

ALTER EXTENSION plpgsql ADD EVENT TRIGGER testkit_after_ddl;

ALTER EXTENSION plpgsql ADD EVENT TRIGGER testkit_after_drop;

