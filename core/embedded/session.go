package embedded

import "strings"

// session is the state of one client: who it is and its current database.
// n.mu is held during every call.
type session struct {
	n      *Node
	user   *user
	db     string
	sql    string
	marked bool // statements come from the raw writer

	kept *recall // nil: no raw rows were written
}

// result is the outcome of a statement: rows, or a number of changed ones.
type result struct {
	cols     []column
	rows     [][]any
	affected int
	isQuery  bool
}

// exec runs one statement.
func (s *session) exec(sql string) (res *result, err error) {
	sql = strings.TrimSpace(sql)
	toks, err := lex(sql)
	if err != nil {
		return nil, err
	}
	if s.n.serverDown {
		return nil, errUnreachable
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *fault:
			res, err = nil, r
		default:
			panic(r)
		}
	}()
	s.sql = sql
	p := &parser{sql: sql, toks: toks, version: s.n.version, now: s.n.now}
	return s.dispatch(p)
}

func (s *session) dispatch(p *parser) (*result, error) {
	switch {
	case p.accept("insert", "into"), p.accept("import", "into"):
		return s.insert(p)
	case p.accept("select"):
		return s.query(p)
	case p.accept("create"):
		return s.create(p)
	case p.accept("alter"):
		return s.alter(p)
	case p.accept("drop"):
		return s.drop(p)
	case p.accept("delete", "from"):
		return s.delete(p)
	case p.accept("describe"), p.accept("desc"):
		return s.describe(p)
	case p.accept("show"):
		return s.show(p)
	case p.accept("use"):
		name := p.ident()
		p.end()
		if s.n.databases[name] == nil {
			return nil, errDBMissing
		}
		s.db = name
		return &result{}, nil
	case p.accept("grant"):
		return s.grant(p, true)
	case p.accept("revoke"):
		return s.grant(p, false)
	case p.accept("flush", "database"), p.accept("trim", "database"), p.accept("compact", "database"):
		db, err := s.database(p.ident())
		if err != nil {
			return nil, err
		}
		if s.n.version.keepsWAL() && p.accept("wal") {
			for _, vg := range db.vgroups {
				vg.kept = false
				vg.truncate(vg.end())
			}
		}
		return &result{}, nil
	case p.accept("split", "vgroup"):
		return s.splitVgroup(p)
	}
	return nil, syntaxError(p.sql)
}

// database finds a database by its name, or the current one.
func (s *session) database(name string) (*database, error) {
	if name == "" {
		name = s.db
	}
	if name == "" {
		return nil, errNoDatabase
	}
	if db := s.n.databases[name]; db != nil {
		return db, nil
	}
	return nil, errDBMissing
}

// writable finds a database that the user may write to.
func (s *session) writable(name string) (*database, error) {
	db, err := s.database(name)
	if err == nil && !s.user.may("write", db.name) {
		return nil, errPermission
	}
	return db, err
}

// readable finds a database that the user may read.
func (s *session) readable(name string) (*database, error) {
	db, err := s.database(name)
	if err == nil && !s.user.may("read", db.name) {
		return nil, errPermission
	}
	return db, err
}

func (s *session) create(p *parser) (*result, error) {
	switch {
	case p.accept("database"):
		return s.createDatabase(p)
	case p.accept("stable"), p.accept("table"):
		return s.createTable(p)
	case p.accept("topic"):
		return s.createTopic(p)
	case p.accept("user"):
		return s.createUser(p)
	}
	return nil, syntaxError(p.sql)
}

func (s *session) alter(p *parser) (*result, error) {
	switch {
	case p.accept("database"):
		return s.alterDatabase(p)
	case p.accept("stable"), p.accept("table"):
		return s.alterTable(p)
	case p.accept("user"):
		return s.alterUser(p)
	case s.n.version.keepsWAL() && p.accept("vnode"):
		return s.keepVersion(p)
	}
	return nil, syntaxError(p.sql)
}

func (s *session) drop(p *parser) (*result, error) {
	switch {
	case p.accept("database"):
		return s.dropDatabase(p)
	case p.accept("stable"), p.accept("table"):
		return s.dropTables(p)
	case p.accept("topic"):
		return s.dropTopic(p)
	case p.accept("consumer", "group"):
		return s.dropGroup(p)
	case p.accept("user"):
		return s.dropUser(p)
	}
	return nil, syntaxError(p.sql)
}
