package embedded

import (
	"slices"
)

// createTable is a super table, a normal table, or child tables.
func (s *session) createTable(p *parser) (*result, error) {
	ifNot := p.ifNotExists()
	dbName, name := p.qualified()
	if p.is("using") {
		return s.createChildren(p, ifNot, dbName, name)
	}
	db, err := s.writable(dbName)
	if err != nil {
		return nil, err
	}
	cols := p.columnDefs()
	var tags []column
	if p.accept("tags") {
		tags = p.columnDefs()
		if slices.ContainsFunc(tags, func(c column) bool { return c.flags&flagKey != 0 }) {
			p.fail()
		}
	}
	p.tableOptions()
	sch, err := newSchema(cols, tags)
	if err != nil {
		return nil, err
	}
	if db.stables[name] != nil || db.tables[name] != nil {
		if ifNot {
			return &result{}, nil
		}
		if tags != nil {
			return nil, failure(codeStableExists, "STable already exists")
		}
		return nil, failure(codeTableExists, "Table already exists")
	}
	if tags != nil {
		db.addStable(name, s.n.nextUID(), sch, s.marked)
		return &result{}, nil
	}
	t := db.newTable(name, nil, &sch, nil)
	s.logCreated([]*table{t})
	return &result{}, nil
}

// tableOptions passes over comment, ttl and the like, which are not replicated.
func (p *parser) tableOptions() {
	for p.peek().kind == tokenIdent {
		p.next()
		for k := p.peek().kind; k == tokenNumber || k == tokenString; k = p.peek().kind {
			p.next()
		}
	}
	p.end()
}

// newSchema numbers the columns and tags of a new table.
func newSchema(cols, tags []column) (schema, error) {
	if len(cols) < 2 || cols[0].typ != typeTimestamp {
		return schema{}, failure(codeSyntax, "The first column must be a timestamp and another must follow")
	}
	if err := checkKeyMarks(cols); err != nil {
		return schema{}, err
	}
	sch := schema{cols: cols, tags: tags, colVer: 1, tagVer: 1}
	seen := map[string]bool{}
	for _, list := range [][]column{cols, tags} {
		for i := range list {
			sch.nextID++
			list[i].id = sch.nextID
			if seen[list[i].name] {
				return schema{}, failure(codeInvalidColumn, "Duplicated column names")
			}
			seen[list[i].name] = true
		}
	}
	for i := range cols {
		cols[i].flags |= cols[i].columnFlags()
	}
	if len(tags) > 0 {
		tags[0].flags = 2 // the first tag is indexed
	}
	return sch, nil
}

// using is what follows the name of a child that is to be created.
type using struct {
	db    *database
	super *stable
	tags  map[int16][]byte
	named []string
}

func (u *using) child(name string) *table {
	t := u.db.newTable(name, u.super, nil, u.tags)
	t.named = u.named
	return t
}

func (s *session) usingClause(p *parser, dbName string) (*using, error) {
	p.expect("using")
	superDB, super := p.qualified()
	if superDB == "" {
		superDB = dbName
	}
	db, err := s.writable(superDB)
	if err != nil {
		return nil, err
	}
	st := db.stables[super]
	if st == nil {
		return nil, errTableMissing
	}
	var named []string
	chosen := st.tags
	if p.is("(") {
		chosen = nil
		p.list(func() {
			i := indexOf(st.tags, p.ident())
			if i < 0 {
				panic(failure(codeInvalidColumn, "Invalid tag name"))
			}
			chosen, named = append(chosen, st.tags[i]), append(named, st.tags[i].name)
		})
	}
	p.expect("tags")
	tags := map[int16][]byte{}
	i := 0
	p.list(func() {
		if i >= len(chosen) {
			panic(failure(codeSyntax, "Tags number not matched"))
		}
		cell, err := encodeCell(chosen[i], db.prec, p.value())
		if err != nil {
			panic(err)
		}
		if cell != nil {
			tags[chosen[i].id] = cell
		}
		i++
	})
	if i < len(chosen) {
		return nil, failure(codeSyntax, "Tags number not matched")
	}
	return &using{db, st, tags, named}, nil
}

// value takes a literal to be stored: constant expressions are computed.
func (p *parser) value() any {
	e := p.sum()
	v, err := eval(e, noColumns)
	if err != nil {
		panic(err)
	}
	return v
}

func (s *session) createChildren(p *parser, ifNot bool, dbName, name string) (*result, error) {
	var made []*table
	for {
		u, err := s.usingClause(p, dbName)
		if err != nil {
			return nil, err
		}
		switch {
		case u.db.tables[name] == nil && u.db.stables[name] == nil:
			made = append(made, u.child(name))
		case !ifNot:
			s.logCreated(made)
			return nil, failure(codeTableExists, "Table already exists")
		}
		if k := p.peek().kind; k != tokenIdent && k != tokenQuoted {
			break
		}
		ifNot = p.ifNotExists() || ifNot
		dbName, name = p.qualified()
	}
	p.tableOptions()
	s.logCreated(made)
	return &result{}, nil
}

// logCreated logs new tables, one entry for those of a vgroup.
func (s *session) logCreated(made []*table) {
	requests := map[*vgroup][][]byte{}
	for _, t := range made {
		requests[t.vg] = append(requests[t.vg], s.n.encodeCreateTable(t))
	}
	for _, t := range made {
		if r := requests[t.vg]; r != nil {
			t.vg.append(entry{kind: kindCreateTable, marked: s.marked, data: encodeCreateBatch(t.vg, r, s.marked)})
			delete(requests, t.vg)
		}
	}
}

func (s *session) dropTables(p *parser) (*result, error) {
	for {
		ifExists := p.ifExists()
		dbName, name := p.qualified()
		db, err := s.writable(dbName)
		if err != nil {
			return nil, err
		}
		if t := db.tables[name]; t != nil {
			db.dropTable(t, s.marked)
		} else if st := db.stables[name]; st != nil {
			db.dropStable(st)
		} else if !ifExists {
			return nil, errTableMissing
		}
		if !p.accept(",") {
			break
		}
	}
	p.end()
	return &result{}, nil
}

// alterClause is what follows the name in alter table.
type alterClause struct {
	verb   string // add, drop, modify, rename, set
	tag    bool
	col    column
	rename string
	values []tagValue
}

type tagValue struct {
	name  string
	value any
}

func (p *parser) alterClause() alterClause {
	c := alterClause{}
	for _, verb := range []string{"add", "drop", "modify", "rename", "set"} {
		if p.accept(verb) {
			c.verb = verb
			break
		}
	}
	if c.verb == "" {
		p.fail()
	}
	if c.tag = p.accept("tag"); !c.tag {
		p.expect("column")
	}
	if c.verb == "set" {
		if !c.tag {
			p.fail()
		}
		for {
			name := p.ident()
			p.expect("=")
			c.values = append(c.values, tagValue{name, p.value()})
			if !p.accept(",") {
				break
			}
		}
		p.end()
		return c
	}
	name := p.ident()
	switch c.verb {
	case "add", "modify":
		c.col = p.columnType(name)
	case "rename":
		c.rename = p.ident()
	}
	c.col.name = name
	if p.isKeyMark() {
		p.fail()
	}
	p.tableOptions()
	return c
}

func (s *session) alterTable(p *parser) (*result, error) {
	dbName, name := p.qualified()
	db, err := s.writable(dbName)
	if err != nil {
		return nil, err
	}
	if p.accept("comment") || p.accept("ttl") || p.accept("keep") {
		return &result{}, nil
	}
	c := p.alterClause()
	st, t := db.stables[name], db.tables[name]
	var sch *schema
	switch {
	case st != nil:
		sch = &st.schema
	case t != nil:
		sch = t.schema()
	default:
		return nil, errTableMissing
	}
	if second := secondKey(sch.cols); second != nil && !c.tag && c.col.name == second.name {
		return nil, failure(codeKeyFixed, "composite primary key column can not be added, modified, and dropped")
	}
	if st != nil {
		return s.alterStable(db, st, c)
	}
	a := alteration{table: name, rename: c.rename}
	if t.super != nil {
		if c.verb != "set" {
			return nil, failure(codeSyntax, "Child tables can only have their tags set")
		}
		if err := tagChanges(db, t, c.values, &a); err != nil {
			return nil, err
		}
	} else {
		if c.tag {
			return nil, failure(codeSyntax, "Normal tables have no tags")
		}
		a.action = map[string]uint8{"add": alterAddColumn, "drop": alterDropColumn, "modify": alterColumnLength, "rename": alterRenameColumn}[c.verb]
		a.col = c.col
	}
	return &result{}, db.applyAlteration(t, a, s.marked)
}

func tagChanges(db *database, t *table, values []tagValue, a *alteration) error {
	for _, v := range values {
		i := indexOf(t.super.tags, v.name)
		if i < 0 {
			return failure(codeInvalidColumn, "Invalid tag name: %s", v.name)
		}
		c := t.super.tags[i]
		cell, err := encodeCell(c, db.prec, v.value)
		if err != nil {
			return err
		}
		a.tags = append(a.tags, tagChange{c, cell})
	}
	a.action, a.col = alterSetTags, column{}
	if len(a.tags) == 1 {
		a.action, a.col = alterSetTag, a.tags[0].col
	}
	return nil
}

// applyAlteration changes a child's tags or a normal table's columns, and logs
// it. Asking for what is already so is an error, as the real vnode answers.
func (db *database) applyAlteration(t *table, a alteration, marked bool) error {
	if a.action == alterSetTag || a.action == alterSetTags {
		if t.super == nil {
			return errInvalidPara
		}
		for _, c := range a.tags {
			i := indexOf(t.super.tags, c.col.name)
			if i < 0 {
				return failure(codeVgroupColNone, "Table column not exists")
			}
			t.tags[t.super.tags[i].id] = c.cell
			if c.cell == nil {
				delete(t.tags, t.super.tags[i].id)
			}
		}
		db.node.silence(t)
	} else if t.super != nil {
		return errInvalidPara
	} else if err := t.alterColumn(&a); err != nil {
		return err
	}
	t.vg.append(entry{kind: kindAlterTable, marked: marked, data: db.node.encodeAlter(t.vg, a, marked)})
	return nil
}

func (t *table) alterColumn(a *alteration) error {
	s := t.own
	i := indexOf(s.cols, a.col.name)
	if i < 0 && a.action != alterAddColumn {
		return failure(codeVgroupColNone, "Table column not exists")
	}
	switch a.action {
	case alterAddColumn:
		if i >= 0 {
			return failure(codeVgroupColExists, "Table column already exists")
		}
		s.nextID++
		a.col.id, a.col.flags = s.nextID, a.col.columnFlags()
		s.cols = append(slices.Clone(s.cols), a.col)
		a.col.id = 0 // as the log has it
	case alterDropColumn:
		if i == 0 || len(s.cols) == 2 {
			return failure(codeVgroupColNone, "Invalid column to drop")
		}
		delete(t.rows.cols, s.cols[i].id)
		s.cols = slices.Delete(slices.Clone(s.cols), i, i+1)
	case alterColumnLength:
		if a.col.typ != s.cols[i].typ || a.col.bytes <= s.cols[i].bytes {
			return failure(codeVgroupAction, "Invalid table action")
		}
		s.cols = slices.Clone(s.cols)
		s.cols[i].bytes = a.col.bytes
	case alterRenameColumn:
		if indexOf(s.cols, a.rename) >= 0 {
			return failure(codeVgroupColExists, "Table column already exists")
		}
		s.cols = slices.Clone(s.cols)
		s.cols[i].name = a.rename
	}
	s.colVer++
	return nil
}

// alterStable changes the schema of a super table by a statement.
func (s *session) alterStable(db *database, st *stable, c alterClause) (*result, error) {
	sch := st.schema.clone()
	list, other, ver := &sch.cols, sch.tags, &sch.colVer
	exists, missing := codeColumnExists, codeColumnMissing
	if c.tag {
		list, other, ver = &sch.tags, sch.cols, &sch.tagVer
		exists, missing = codeTagExists, codeTagMissing
	}
	*ver++
	i := indexOf(*list, c.col.name)
	if c.verb == "set" {
		return nil, failure(codeSyntax, "Tags of a super table cannot be set")
	}
	if c.verb != "add" && i < 0 {
		return nil, failure(missing, "Column or tag does not exist")
	}
	action, fields := uint8(0), []column{{name: c.col.name}}
	switch c.verb {
	case "add":
		if i >= 0 || indexOf(other, c.col.name) >= 0 {
			return nil, failure(exists, "Column or tag already exists")
		}
		sch.nextID++
		c.col.id = sch.nextID
		if !c.tag {
			c.col.flags = 1
			if s.n.version.newLayout() {
				c.col.flags, sch.ext = flagTypeMod, true
			}
		}
		*list = append(*list, c.col)
		action, fields = alterAddColumn, []column{c.col}
	case "drop":
		if len(*list) == 1 || !c.tag && (i == 0 || len(*list) == 2) {
			return nil, failure(codeInvalidPara, "Invalid column or tag to drop")
		}
		*list = slices.Delete(*list, i, i+1)
		action = alterDropColumn
	case "modify":
		if c.col.typ != (*list)[i].typ || !c.col.typ.variable() || c.col.bytes <= (*list)[i].bytes {
			return nil, failure(codeInvalidPara, "Only longer lengths of variable types can be set")
		}
		(*list)[i].bytes = c.col.bytes
		action, fields = alterColumnLength, []column{c.col}
	case "rename":
		if !c.tag {
			return nil, failure(codeSyntax, "Columns of a super table cannot be renamed")
		}
		if indexOf(sch.tags, c.rename) >= 0 || indexOf(sch.cols, c.rename) >= 0 {
			return nil, failure(exists, "Column or tag already exists")
		}
		(*list)[i].name = c.rename
		action, fields = alterRenameTag, append(fields, column{name: c.rename})
	}
	if c.tag && c.verb != "rename" {
		action = map[string]uint8{"add": alterAddTag, "drop": alterDropTag, "modify": alterTagLength}[c.verb]
	}
	db.changeStable(st, sch, s.n.alterStatement(db.name, st.name, action, fields, s.sql), s.marked)
	return &result{}, nil
}
