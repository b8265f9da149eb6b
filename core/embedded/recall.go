package embedded

import (
	"maps"
	"slices"
)

// recall is what a connection keeps of the tables that it wrote raw rows to, as
// the libraries of real adapters do from 3.3.4 on. A table's columns are found by
// its id, those of a child by its super table's.
type recall struct {
	tables  map[string]keptTable
	columns map[int64][]column
}

type keptTable struct{ id, owner int64 }

// recall is the connection's. A new one may find what another has left, of
// whatever database.
func (s *session) recall() *recall {
	if s.kept == nil {
		s.kept = &recall{map[string]keptTable{}, map[int64][]column{}}
		if s.n.reuses > 0 && s.n.left != nil {
			s.n.reuses--
			s.kept = &recall{maps.Clone(s.n.left.tables), maps.Clone(s.n.left.columns)}
		}
	}
	return s.kept
}

// keep takes note of a table as it is now.
func (r *recall) keep(t *table) {
	r.tables[t.name] = keptTable{t.uid, t.owner()}
	r.columns[t.owner()] = t.schema().cols
}

// owner is the id of what a table's columns belong to.
func (t *table) owner() int64 {
	if t.super != nil {
		return t.super.uid
	}
	return t.uid
}

// target is the table that raw rows of a name go to, and the columns that the
// writer takes it to have: what is kept, in whatever database that table is, as
// long as the rows have columns of these names and types and no others. A value of
// a column that was dropped since is acknowledged and lost, also if there is another
// one of its name. So are rows of a table that was dropped: then t is nil and cols
// is not. Real servers mostly notice that in time and look the table up again, those
// before 3.3.7 always; a node from then on only if the rows do not fit, or if it is
// made to (see lookUp). super is where the message creates the table: its name is not
// kept then.
func (s *session) target(db *database, b *rawTableBlock, super *stable) (t *table, cols []column) {
	r := s.recall()
	k, known := r.tables[b.table]
	known = known && s.n.version.keepsTables()
	if cols = r.columns[k.owner]; known && fits(cols, b.block) {
		t = s.n.tableByID(db, b.table, k.id)
		if s.n.version.losesRows() || t != nil && slices.Equal(cols, t.schema().cols) {
			return t, cols
		}
		known = false // the server has noticed, and the library looks the table up
	}
	if t = db.tables[b.table]; t == nil {
		if super != nil {
			r.columns[super.uid] = super.cols
		}
		return nil, nil
	}
	cols = t.schema().cols
	switch {
	case known:
		r.columns[k.owner] = cols // its id is not replaced
	case super != nil:
		r.columns[t.owner()] = cols
	default:
		r.keep(t)
	}
	return t, cols
}

// fits reports whether a block has just these columns, by their names and types.
func fits(kept []column, b *block) bool {
	return len(kept) == len(b.cols) && !slices.ContainsFunc(b.cols, func(c column) bool {
		i := indexOf(kept, c.name)
		return i < 0 || kept[i].typ != c.typ || c.typ.variable() && c.bytes > kept[i].bytes
	})
}

// tableByID finds a table of a name and an id in a database, or else in another.
func (n *Node) tableByID(db *database, name string, id int64) *table {
	if t := db.tables[name]; t != nil && t.uid == id {
		return t
	}
	for _, other := range n.databases {
		if t := other.tables[name]; t != nil && t.uid == id {
			return t
		}
	}
	return nil
}

// lookUp makes the connection keep the tables of a message as they are now, if it
// has a row of a super table, and nothing is written then. Real libraries take that
// for a sign that what they keep is outdated.
func (s *session) lookUp(db *database, m *dataMessage) error {
	if !s.n.version.recalls() || !slices.ContainsFunc(m.blocks, func(b rawTableBlock) bool { return db.stables[b.table] != nil && b.rows > 0 }) {
		return nil
	}
	r := s.recall()
	for _, b := range m.blocks {
		_, believed := r.tables[b.table]
		t, st := db.tables[b.table], db.stables[b.table]
		if i := slices.IndexFunc(m.creates, func(c *tableMeta) bool { return c.name == b.table }); i >= 0 && !believed {
			t, st = nil, db.stables[m.creates[i].super] // looked up in its place
		}
		switch {
		case st != nil:
			r.columns[st.uid] = st.cols
		case t != nil:
			r.keep(t)
		default:
			return errTableMissing
		}
	}
	return failure(codeNowhere, "No valid epSet for data source node")
}
