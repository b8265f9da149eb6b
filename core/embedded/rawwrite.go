package embedded

import (
	"maps"
	"slices"
	"time"
)

// The raw writer, with what the real one gets wrong.

// writeRaw applies one message.
func (s *session) writeRaw(kind uint16, payload []byte) error {
	if kind == kindCreateSTB || kind == kindAlterSTB {
		return s.rawStable(payload)
	}
	if kind == kindBatchMeta {
		metas, err := decodeBatchMeta(payload)
		if err != nil {
			return errInvalidPara
		}
		for _, m := range metas { // what was applied before an error stays
			if err := s.writeRaw(m.kind, m.payload); err != nil {
				return err
			}
		}
		return nil
	}
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	db, err := s.rawTarget()
	if err != nil {
		return err
	}
	switch kind {
	case kindSubmit, kindMetadata, kindRawRows:
		err = s.rawData(db, kind, payload)
	case kindCreateTable:
		err = s.rawCreateTables(db, payload)
	case kindAlterTable:
		err = s.rawAlterTable(db, payload)
	case kindDropTable:
		err = s.rawDropTables(db, payload)
	case kindDropSTB:
		err = s.rawDropStable(db, payload)
	case kindDelete:
		err = s.rawDelete(db, payload)
	default:
		return errInvalidPara
	}
	if err == errShortPayload {
		return errInvalidPara
	}
	return err
}

// rawTarget is the current database, if it may be written to.
func (s *session) rawTarget() (*database, error) {
	if s.n.serverDown {
		return nil, errUnreachable
	}
	return s.writable("")
}

// ddlTime is how long creating or altering a super table takes: long enough
// for two at once to get into each other's way.
const ddlTime = 2 * time.Millisecond

// rawStable creates or alters a super table. One that has another uid than
// replication would have given it is left as it is, and success is reported.
func (s *session) rawStable(payload []byte) error {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	db, err := s.rawTarget()
	if err != nil {
		return err
	}
	m, err := decodeStable(payload)
	if err != nil {
		return errInvalidPara
	}
	if needed, err := stableNeeded(db, m); !needed {
		return err
	}
	key := db.name + "." + m.name
	if s.n.ddl[key] {
		return failure(codeConflict, "Conflict transaction not completed")
	}
	s.n.ddl[key] = true
	s.n.mu.Unlock()
	time.Sleep(ddlTime)
	s.n.mu.Lock()
	delete(s.n.ddl, key)
	if db, err = s.rawTarget(); err != nil {
		return err
	}
	if needed, err := stableNeeded(db, m); !needed {
		return err
	}
	if st := db.stables[m.name]; st != nil {
		m.nextID = st.nextID
		m.renumber(m.cols, st.cols)
		m.renumber(m.tags, st.tags)
		db.changeStable(st, m.schema, m.alter, true)
		return nil
	}
	m.renumber(m.cols, m.cols)
	m.renumber(m.tags, m.tags)
	db.addStable(m.name, sinkUID(m.uid, db.name), m.schema, true)
	return nil
}

// renumber gives columns the ids that those of the same names have here, and
// new ids to the others: a tag that was renamed counts as new, so that its
// values are lost.
func (m *stableMeta) renumber(cols, here []column) {
	for i := range cols {
		if j := indexOf(here, cols[i].name); j >= 0 {
			cols[i].id = here[j].id
			m.nextID = max(m.nextID, cols[i].id)
			continue
		}
		m.nextID++
		cols[i].id = m.nextID
	}
}

// stableNeeded decides as the real mnode does what a create or alter comes to.
func stableNeeded(db *database, m *stableMeta) (bool, error) {
	st := db.stables[m.name]
	switch {
	case st == nil:
		return m.colVer == 1 && m.tagVer == 1, nil // else it counts as dropped already
	case st.uid != sinkUID(m.uid, db.name):
		return false, nil
	case m.colVer <= st.colVer && m.tagVer <= st.tagVer:
		return false, nil
	case m.colVer == st.colVer+1 || m.tagVer == st.tagVer+1 || st.colVer == 1 || st.tagVer == 1:
		return true, nil
	default:
		return false, failure(codeSchemaVersion, "Invalid schema version while alter stb")
	}
}

func (s *session) rawCreateTables(db *database, payload []byte) error {
	d := metaBody(payload)
	var made []*table
	for range d.count() {
		m, err := decodeCreateTable(d)
		if err != nil {
			return err
		}
		if t := s.rawTable(db, m, (*tableMeta).tagsByName); t != nil {
			made = append(made, t)
		}
	}
	if d.err != nil {
		return d.err
	}
	s.logCreated(made)
	return nil
}

// rawTable creates a table unless one of that name exists; a child whose super
// table is missing is skipped in silence. tags gives a child's the ids that they
// are kept under.
func (s *session) rawTable(db *database, m *tableMeta, tags func(*tableMeta, *stable) map[int16][]byte) *table {
	if db.tables[m.name] != nil || db.stables[m.name] != nil {
		return nil
	}
	if m.super == "" {
		sch := m.schema
		for _, c := range sch.cols {
			sch.nextID = max(sch.nextID, c.id)
		}
		return db.newTable(m.name, nil, &sch, nil)
	}
	st := db.stables[m.super]
	if st == nil {
		return nil
	}
	t := db.newTable(m.name, st, nil, tags(m, st))
	maps.DeleteFunc(t.tags, func(id int16, cell []byte) bool {
		i := slices.IndexFunc(st.tags, func(c column) bool { return c.id == id })
		return i < 0 || !st.tags[i].typ.variable() && len(cell) != typeInfos[st.tags[i].typ].width
	})
	return t
}

// tagsAsTheyCome leaves the tags of a child the ids that they had at the source, as
// a writer does where rows create it: another super table may know other tags by
// them. A JSON tag travels without an id.
func (m *tableMeta) tagsAsTheyCome(st *stable) map[int16][]byte {
	if text, ok := m.tags[0]; ok && len(st.tags) == 1 {
		return map[int16][]byte{st.tags[0].id: text}
	}
	return maps.Clone(m.tags)
}

// tagsByName gives them the ids that tags of their names have here, as a writer does
// where they are created alone. It takes the names, which come in the order of the
// statement, for those of the values, which come in the order of their ids.
func (m *tableMeta) tagsByName(st *stable) map[int16][]byte {
	tags := m.tagsAsTheyCome(st)
	for _, id := range m.ids {
		delete(tags, id)
	}
	for i, id := range m.ids {
		here := id
		if i < len(m.names) {
			if j := indexOf(st.tags, m.names[i]); j >= 0 {
				here = st.tags[j].id
			}
		}
		tags[here] = m.tags[id]
	}
	return tags
}

func (s *session) rawAlterTable(db *database, payload []byte) error {
	a, err := decodeAlter(payload)
	if err != nil {
		return err
	}
	t := db.tables[a.table]
	if t == nil {
		return nil
	}
	switch a.action {
	case alterSetTag, alterSetTags, alterAddColumn, alterDropColumn, alterColumnLength, alterRenameColumn:
		return db.applyAlteration(t, *a, true)
	default:
		return nil // options are not replicated
	}
}

func (s *session) rawDropTables(db *database, payload []byte) error {
	names, err := decodeDropTable(payload, s.n.version.newLayout())
	if err != nil {
		return err
	}
	for _, name := range names {
		if t := db.tables[name]; t != nil {
			db.dropTable(t, true)
		}
	}
	return nil
}

func (s *session) rawDropStable(db *database, payload []byte) error {
	d := metaBody(payload)
	name := d.name()
	if d.err != nil {
		return d.err
	}
	if st := db.stables[name]; st != nil {
		db.dropStable(st)
	}
	return nil
}

// rawDelete deletes a range by the name that the statement had: the tables it
// chose by their tags are forgotten, and so is that it may have chosen none.
func (s *session) rawDelete(db *database, payload []byte) error {
	d, err := decodeDelete(payload)
	if err != nil {
		return err
	}
	tables, _, err := db.tablesOf(d.table)
	if err != nil {
		return nil
	}
	st := db.stables[d.table]
	d.marked, d.suid = true, 0
	if st != nil {
		d.suid = st.uid
	} else if tables[0].super != nil {
		d.suid = tables[0].super.uid
	}
	db.remove(*d, tables, st != nil)
	return nil
}
