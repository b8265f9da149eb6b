package embedded

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// relation is a catalog table: columns and rows made on the spot.
type relation struct {
	cols []column
	rows [][]any
}

func (r *relation) source() *source {
	src := &source{cols: r.cols, own: len(r.cols)}
	src.find = func(name string) (column, bool) {
		i := indexOf(r.cols, name)
		if i < 0 {
			return column{}, false
		}
		return r.cols[i], true
	}
	src.scan = func(yield func(env) error) error {
		for _, row := range r.rows {
			err := yield(func(name string) (any, error) {
				if i := indexOf(r.cols, name); i >= 0 {
					return row[i], nil
				}
				return noColumns(name)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return src
}

func (r *relation) result() *result { return &result{isQuery: true, cols: r.cols, rows: r.rows} }

func (r *relation) add(values ...any) { r.rows = append(r.rows, values) }

// relationOf makes an empty relation; columns are given as `name TYPE(n)`.
func relationOf(cols ...string) *relation {
	r := &relation{}
	for _, def := range cols {
		name, typ, _ := strings.Cut(def, " ")
		p := &parser{sql: typ}
		p.toks, _ = lex(typ) // the definitions are constants
		r.cols = append(r.cols, p.columnType(name))
	}
	return r
}

func ms(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp{t.UnixMilli(), 0}
}

// systemTable finds a table of information_schema or performance_schema.
func (s *session) systemTable(name string) (*relation, error) {
	tables := map[string]func() *relation{
		"ins_databases": s.insDatabases, "ins_topics": s.insTopics, "ins_subscriptions": s.insSubscriptions,
		"ins_vgroups": s.insVgroups, "ins_vnodes": s.insVnodes, "ins_stables": s.insStables, "ins_tables": s.insTables,
		"ins_columns": s.insColumns, "ins_tags": s.insTags, "ins_users": s.insUsers,
		"ins_user_privileges": s.insPrivileges, "ins_dnodes": s.insDnodes, "ins_cluster": s.insCluster,
		"perf_consumers": s.perfConsumers,
	}
	if f := tables[name]; f != nil {
		return f(), nil
	}
	return nil, errTableMissing
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// visibleDatabases are those that the user has any right on.
func (s *session) visibleDatabases() []*database {
	var all []*database
	for _, name := range sortedKeys(s.n.databases) {
		if s.user.may("read", name) || s.user.may("write", name) {
			all = append(all, s.n.databases[name])
		}
	}
	return all
}

func (s *session) insDatabases() *relation {
	r := relationOf("name VARCHAR(64)", "create_time TIMESTAMP", "vgroups INT", "ntables BIGINT", "replica TINYINT",
		"strict VARCHAR(4)", "duration VARCHAR(10)", "keep VARCHAR(32)", "buffer INT", "pagesize INT", "pages INT",
		"minrows INT", "maxrows INT", "comp TINYINT", "precision VARCHAR(2)", "status VARCHAR(10)", "retentions VARCHAR(60)",
		"single_stable BOOL", "cachemodel VARCHAR(11)", "cachesize INT", "wal_level TINYINT", "wal_fsync_period INT",
		"wal_retention_period INT", "wal_retention_size BIGINT", "stt_trigger SMALLINT", "table_prefix SMALLINT",
		"table_suffix SMALLINT", "tsdb_pagesize INT", "keep_time_offset INT")
	for _, name := range []string{"information_schema", "performance_schema"} {
		row := make([]any, len(r.cols))
		row[0], row[15] = name, "ready"
		r.add(row...)
	}
	for _, db := range s.visibleDatabases() {
		n := func(o string) any { return db.optionInt(o) }
		r.add(db.name, ms(db.created), int64(len(db.vgroups)), int64(len(db.tables)), n("REPLICA"),
			"on", db.option("DURATION"), db.option("KEEP"), n("BUFFER"), n("PAGESIZE"), n("PAGES"),
			n("MINROWS"), n("MAXROWS"), n("COMP"), db.prec.String(), "ready", nil,
			db.option("SINGLE_STABLE") == "1", db.option("CACHEMODEL"), n("CACHESIZE"), n("WAL_LEVEL"), n("WAL_FSYNC_PERIOD"),
			n("WAL_RETENTION_PERIOD"), n("WAL_RETENTION_SIZE"), n("STT_TRIGGER"), n("TABLE_PREFIX"),
			n("TABLE_SUFFIX"), n("TSDB_PAGESIZE"), n("KEEP_TIME_OFFSET"))
	}
	return r
}

func (s *session) insTopics() *relation {
	r := relationOf("topic_name VARCHAR(192)", "db_name VARCHAR(64)", "create_time TIMESTAMP", "sql VARCHAR(2048)",
		"schema VARCHAR(65517)", "meta VARCHAR(4)", "type VARCHAR(8)")
	for _, name := range sortedKeys(s.n.topics) {
		t := s.n.topics[name]
		r.add(t.name, t.db.name, ms(t.created), t.sql, "NULL", map[bool]string{true: "yes", false: "no"}[t.meta], "db")
	}
	return r
}

// insSubscriptions tells what the last heartbeats told; after the consumers
// have left it stays as it was.
func (s *session) insSubscriptions() *relation {
	cols := []string{"topic_name VARCHAR(205)", "consumer_group VARCHAR(193)", "vgroup_id INT", "consumer_id VARCHAR(256)"}
	newer := s.n.version.newLayout()
	if newer {
		cols = append(cols, "user VARCHAR(24)", "fqdn VARCHAR(128)")
	}
	r := relationOf(append(cols, "offset VARCHAR(64)", "rows BIGINT")...)
	for _, name := range sortedKeys(s.n.topics) {
		t := s.n.topics[name]
		for _, gname := range sortedKeys(t.groups) {
			g := t.groups[gname]
			for _, vg := range t.db.vgroups {
				row := []any{t.name, g.name, int64(vg.id)}
				owner := []any{nil, nil, nil}
				if c := g.owners[vg.id]; c != nil {
					owner = []any{fmt.Sprintf("0x%x", c.id), c.user.name, "localhost"}
				}
				if !newer {
					owner = owner[:1]
				}
				row = append(row, owner...)
				if rep, ok := g.reports[vg.id]; ok {
					row = append(row, fmt.Sprintf("wal:%d/%d", rep.position, rep.end), rep.rows)
				} else {
					row = append(row, nil, int64(0))
				}
				r.add(row...)
			}
		}
	}
	return r
}

func (s *session) perfConsumers() *relation {
	cols := []string{"consumer_id VARCHAR(32)", "consumer_group VARCHAR(193)", "client_id VARCHAR(256)"}
	newer := s.n.version.newLayout()
	if newer {
		cols = append(cols, "user VARCHAR(24)", "fqdn VARCHAR(128)")
	}
	cols = append(cols, "status VARCHAR(20)", "topics VARCHAR(205)", "up_time TIMESTAMP", "subscribe_time TIMESTAMP",
		"rebalance_time TIMESTAMP", "parameters VARCHAR(192)")
	if newer {
		cols = append(cols, "poll_time TIMESTAMP")
	}
	r := relationOf(cols...)
	for _, name := range sortedKeys(s.n.topics) {
		for _, g := range s.n.topics[name].groups {
			for _, c := range g.members {
				status := "ready"
				if c.rebalanced.IsZero() {
					status = "rebalance"
				}
				row := []any{fmt.Sprintf("0x%x", c.id), g.name, c.clientID}
				if newer {
					row = append(row, c.user.name, "localhost")
				}
				row = append(row, status, name, ms(c.subscribed), ms(c.subscribed), ms(c.rebalanced), c.parameters())
				if newer {
					row = append(row, ms(c.lastPoll))
				}
				r.add(row...)
			}
		}
	}
	return r
}

func (s *session) insVgroups() *relation {
	cols := []string{"vgroup_id INT", "db_name VARCHAR(64)", "tables INT"}
	ends := s.n.version.tellsWALEnds()
	for i := 1; i <= 4; i++ {
		cols = append(cols, fmt.Sprintf("v%d_dnode SMALLINT", i), fmt.Sprintf("v%d_status VARCHAR(9)", i))
		if ends {
			cols = append(cols, fmt.Sprintf("v%d_applied/committed VARCHAR(41)", i))
		}
	}
	r := relationOf(append(cols, "cacheload INT", "cacheelements INT", "tsma TINYINT")...)
	for _, db := range s.visibleDatabases() {
		for _, vg := range db.vgroups {
			row := make([]any, len(r.cols))
			copy(row, []any{int64(vg.id), db.name, int64(vg.tables), int64(1), "leader"})
			if ends {
				row[5] = fmt.Sprintf("%d/%d", vg.end()-1, vg.end()-1)
			}
			for i := len(row) - 3; i < len(row); i++ {
				row[i] = int64(0)
			}
			r.add(row...)
		}
	}
	return r
}

func (s *session) insVnodes() *relation {
	r := relationOf("dnode_id INT", "vgroup_id INT", "db_name VARCHAR(64)", "status VARCHAR(9)", "role_time TIMESTAMP",
		"start_time TIMESTAMP", "restored BOOL")
	for _, db := range s.visibleDatabases() {
		for _, vg := range db.vgroups {
			r.add(int64(1), int64(vg.id), db.name, "leader", ms(db.created), ms(db.created), true)
		}
	}
	return r
}

func (s *session) insUsers() *relation {
	r := relationOf("name VARCHAR(24)", "super TINYINT", "enable TINYINT", "sysinfo TINYINT", "createdb TINYINT",
		"create_time TIMESTAMP", "allowed_host VARCHAR(49152)")
	for _, name := range sortedKeys(s.n.users) {
		u := s.n.users[name]
		r.add(u.name, int64(flag(u.super)), int64(flag(u.enabled)), int64(1), int64(flag(u.super || u.createDB)), ms(u.created), "127.0.0.1/32,::1/128")
	}
	return r
}

func (s *session) insPrivileges() *relation {
	r := relationOf("user_name VARCHAR(24)", "privilege VARCHAR(10)", "db_name VARCHAR(65)", "table_name VARCHAR(193)",
		"condition VARCHAR(49152)", "notes VARCHAR(64)")
	for _, name := range sortedKeys(s.n.users) {
		u := s.n.users[name]
		if u.super {
			r.add(u.name, "all", "all", "", "", "")
		}
		for _, right := range u.rights {
			verb, on, _ := strings.Cut(right, " ")
			if on == "*" {
				on = "all"
			}
			r.add(u.name, verb, on, "", "", "")
		}
	}
	return r
}

func (s *session) insDnodes() *relation {
	r := relationOf("id INT", "endpoint VARCHAR(134)", "vnodes SMALLINT", "support_vnodes SMALLINT", "status VARCHAR(10)",
		"create_time TIMESTAMP", "reboot_time TIMESTAMP", "note VARCHAR(256)")
	r.add(int64(1), s.n.addr, int64(0), int64(256), "ready", ms(s.n.started), ms(s.n.started), "")
	return r
}

func (s *session) insCluster() *relation {
	r := relationOf("id BIGINT", "name VARCHAR(40)", "uptime INT", "create_time TIMESTAMP", "version VARCHAR(10)", "expire_time TIMESTAMP")
	r.add(s.n.clusterID, fmt.Sprintf("embedded-%x", s.n.clusterID), int64(time.Since(s.n.started).Seconds()), ms(s.n.started), "community", nil)
	return r
}
