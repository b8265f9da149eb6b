package embedded

import (
	"fmt"
	"strings"
)

func (s *session) insStables() *relation {
	r := relationOf("stable_name VARCHAR(192)", "db_name VARCHAR(64)", "create_time TIMESTAMP", "columns INT", "tags INT",
		"last_update TIMESTAMP", "table_comment VARCHAR(1024)", "watermark VARCHAR(64)", "max_delay VARCHAR(64)",
		"rollup VARCHAR(128)", "uid BIGINT", "isvirtual BOOL")
	for _, db := range s.visibleDatabases() {
		for _, name := range sortedKeys(db.stables) {
			st := db.stables[name]
			r.add(st.name, db.name, ms(st.created), int64(len(st.cols)), int64(len(st.tags)), ms(st.updated), nil,
				"5000a,5000a", "-1a,-1a", "", st.uid, false)
		}
	}
	return r
}

func (s *session) insTables() *relation {
	r := relationOf("table_name VARCHAR(192)", "db_name VARCHAR(64)", "create_time TIMESTAMP", "columns INT",
		"stable_name VARCHAR(192)", "uid BIGINT", "vgroup_id INT", "ttl INT", "table_comment VARCHAR(1024)", "type VARCHAR(21)")
	for _, db := range s.visibleDatabases() {
		for _, t := range sortedTables(db.tables) {
			super, kind := any(nil), "NORMAL_TABLE"
			if t.super != nil {
				super, kind = t.super.name, "CHILD_TABLE"
			}
			r.add(t.name, db.name, ms(t.created), int64(len(t.schema().cols)), super, t.uid, int64(t.vg.id), int64(0), nil, kind)
		}
	}
	return r
}

func (s *session) insColumns() *relation {
	r := relationOf("table_name VARCHAR(192)", "db_name VARCHAR(64)", "table_type VARCHAR(21)", "col_name VARCHAR(64)",
		"col_type VARCHAR(32)", "col_length INT", "col_precision INT", "col_scale INT", "col_nullable INT")
	for _, db := range s.visibleDatabases() {
		add := func(table, kind string, cols []column) {
			for _, c := range cols {
				r.add(table, db.name, kind, c.name, c.declare(), int64(c.bytes), nil, nil, nil)
			}
		}
		for _, name := range sortedKeys(db.stables) {
			add(name, "SUPER_TABLE", db.stables[name].cols)
		}
		for _, t := range sortedTables(db.tables) {
			if t.super != nil {
				add(t.name, "CHILD_TABLE", t.super.cols)
			} else {
				add(t.name, "NORMAL_TABLE", t.own.cols)
			}
		}
	}
	return r
}

func (s *session) insTags() *relation {
	r := relationOf("table_name VARCHAR(192)", "db_name VARCHAR(64)", "stable_name VARCHAR(192)", "tag_name VARCHAR(64)",
		"tag_type VARCHAR(32)", "tag_value VARCHAR(16384)")
	for _, db := range s.visibleDatabases() {
		for _, t := range sortedTables(db.tables) {
			if t.super == nil {
				continue
			}
			for _, c := range t.super.tags {
				value := any(nil)
				if cell := t.tags[c.id]; cell != nil {
					value = literalText(decodeCell(c, db.prec, cell))
				}
				r.add(t.name, db.name, t.super.name, c.name, c.declare(), value)
			}
		}
	}
	return r
}

func (s *session) describe(p *parser) (*result, error) {
	dbName, name := p.qualified()
	p.end()
	db, err := s.database(dbName)
	if err != nil {
		return nil, err
	}
	var sch *schema
	if st := db.stables[name]; st != nil {
		sch = &st.schema
	} else if t := db.tables[name]; t != nil {
		sch = t.schema()
	} else {
		return nil, errTableMissing
	}
	r := relationOf("field VARCHAR(325)", "type VARCHAR(20)", "length INT", "note VARCHAR(16)", "encode VARCHAR(12)",
		"compress VARCHAR(12)", "level VARCHAR(12)")
	for _, c := range sch.cols {
		info, note := typeInfos[c.typ], ""
		if c.flags&flagKey != 0 {
			note = s.n.version.keyMark()
		}
		length := c.length()
		if c.typ == typeBlob {
			length = c.bytes // not what select tells
		}
		r.add(c.name, c.describe(", "), int64(length), note, info.encode, info.compress, "medium")
	}
	for _, c := range sch.tags {
		r.add(c.name, c.describe(", "), int64(c.length()), "TAG", "disabled", "disabled", "disabled")
	}
	return r.result(), nil
}

// show answers the forms of show that lists and tools use.
func (s *session) show(p *parser) (*result, error) {
	whole := map[string]string{"subscriptions": "ins_subscriptions", "users": "ins_users", "dnodes": "ins_dnodes",
		"consumers": "perf_consumers", "cluster": "ins_cluster"}
	switch {
	case p.accept("create"):
		return s.showCreate(p)
	case p.accept("cluster", "alive"):
		p.end()
		r := relationOf("status INT")
		r.add(int64(1))
		return r.result(), nil
	case p.accept("grants"):
		p.end()
		r := relationOf("version VARCHAR(64)", "expire_time VARCHAR(19)", "service_time VARCHAR(19)", "expired VARCHAR(5)", "state VARCHAR(9)")
		r.add("embedded", "unlimited", "unlimited", "false", "granted")
		return r.result(), nil
	case p.accept("databases"):
		p.end()
		return s.names("ins_databases", "name", "")
	case p.accept("topics"):
		p.end()
		return s.names("ins_topics", "topic_name", "")
	}
	word := p.ident()
	if name := whole[word]; name != "" {
		p.end()
		r, err := s.systemTable(name)
		if err != nil {
			return nil, err
		}
		return r.result(), nil
	}
	dbName := s.db
	if p.accept(".") {
		dbName, word = word, p.ident()
	}
	p.end()
	if _, err := s.readable(dbName); err != nil {
		return nil, err
	}
	switch word {
	case "stables":
		return s.names("ins_stables", "stable_name", dbName)
	case "tables":
		return s.names("ins_tables", "table_name", dbName)
	case "vgroups":
		r := s.insVgroups()
		kept := r.rows[:0]
		for _, row := range r.rows {
			if row[1] == dbName {
				kept = append(kept, row)
			}
		}
		r.rows = kept
		return r.result(), nil
	}
	return nil, syntaxError(p.sql)
}

// names lists one column of a system table, of one database if it is given.
func (s *session) names(table, col, db string) (*result, error) {
	r, err := s.systemTable(table)
	if err != nil {
		return nil, err
	}
	at, dbAt := indexOf(r.cols, col), indexOf(r.cols, "db_name")
	out := &relation{cols: r.cols[at : at+1]}
	for _, row := range r.rows {
		if db == "" || row[dbAt] == db {
			out.add(row[at])
		}
	}
	return out.result(), nil
}

func (s *session) showCreate(p *parser) (*result, error) {
	if p.accept("database") {
		db, err := s.database(p.ident())
		p.end()
		if err != nil {
			return nil, err
		}
		r := relationOf("Database VARCHAR(63)", "Create@Database VARCHAR(65517)")
		r.cols[1].name = "Create Database"
		r.add(db.name, db.createSQL())
		return r.result(), nil
	}
	if !p.accept("stable") {
		p.expect("table")
	}
	dbName, name := p.qualified()
	p.end()
	db, err := s.database(dbName)
	if err != nil {
		return nil, err
	}
	text := ""
	if st := db.stables[name]; st != nil {
		text = fmt.Sprintf("CREATE STABLE `%s` (%s) TAGS (%s)", name, s.n.version.declareAll(st.cols), s.n.version.declareAll(st.tags))
	} else if t := db.tables[name]; t != nil && t.super == nil {
		text = fmt.Sprintf("CREATE TABLE `%s` (%s)", name, s.n.version.declareAll(t.own.cols))
	} else if t != nil {
		text = t.declareChild(db.prec)
	} else {
		return nil, errTableMissing
	}
	r := relationOf("Table VARCHAR(193)", "Create@Table VARCHAR(65517)")
	r.cols[1].name = "Create Table"
	r.add(name, text)
	return r.result(), nil
}

func (v version) declareAll(cols []column) string {
	var parts []string
	for _, c := range cols {
		part := "`" + c.name + "` " + c.declare()
		if c.flags&flagKey != 0 {
			part += " " + v.keyMark()
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func (t *table) declareChild(p precision) string {
	var names, values []string
	for _, c := range t.super.tags {
		names = append(names, "`"+c.name+"`")
		value := "NULL"
		if cell := t.tags[c.id]; cell != nil {
			value = literalText(decodeCell(c, p, cell))
			if c.typ == typeVarchar || c.typ == typeNchar {
				value = `"` + value + `"`
			}
		}
		values = append(values, value)
	}
	return fmt.Sprintf("CREATE TABLE `%s` USING `%s` (%s) TAGS (%s)", t.name, t.super.name, strings.Join(names, ", "), strings.Join(values, ", "))
}
