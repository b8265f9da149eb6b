package taos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// From 3.3.4 on the client library keeps the vgroup and the id of every table that
// raw rows were written to, for as long as its process lives: by the address of
// the connection in its memory, and by the table's name. Addresses come back, and
// the database is not part of it. So a new connection may write rows to the table
// of that name in the database that an earlier one was for; they are acknowledged
// [M, 3.3.7.5: 38 of 400 connections, for two databases by turns].
//
// What makes the library look its tables up anew is an answer that stands for
// outdated knowledge. It gives that answer itself, before anything is sent to a
// server, for a row of a super table, which is in no vgroup; and it looks up every
// table that the message names, also those without a row in it. So the first rows
// of a table on a connection come behind such a message. And so do the first ones
// with other columns, or other ids of them: the library keeps a table's columns, too,
// and takes one for another of its name, which may have been changed at the sink.
type recall struct {
	recalls bool // the adapter's library does so
	seed    maphash.Seed
	known   map[uint64]struct{} // tables that were looked up, by a hash of their names and columns
	super   raw.Keyed           // a super table of the database; none: it has none
	sought  bool                // super was asked for
}

// recalling is the first version whose library may do so: 3.3.3 does not, by its
// source text; what is in between was not tried.
var recalling = core.Version{3, 3, 4, 0}

const (
	// codeNowhere is what a library says of rows that belong to no vgroup.
	codeNowhere = 0x2507
	// codeOtherSuper is what a server says to a request to create a table that is
	// there, if the library knows the table already: it does not replace the source's
	// id of the super table in the request by the sink's then.
	codeOtherSuper = 0x061D
	// maxRecalled bounds the tables that are remembered of one connection.
	maxRecalled = 1_000_000
	// supersTried bounds the super tables that are described to find one of use.
	supersTried = 20
)

// goneCodes are what servers say of a table that was dropped while they looked.
var goneCodes = []int{codeTableMissing, codeTableGone, 0x0362, 0x061A}

// way is how a message of rows must be written.
type way int

const (
	asItIs way = iota
	made       // its tables first, then the rows without the requests to create them
	apart      // table by table, for which the library keeps nothing
)

// tables are those of a message that concern the library.
type tables struct {
	keys   map[uint64]bool // of their names and columns
	names  map[uint64]bool
	list   []raw.Keyed
	create []raw.NewTable // those of list that are to be created
}

// prepare has a message's tables looked up, those that were not yet.
func (k *sink) prepare(ctx context.Context, m *core.Message) (way, error) {
	if m.RawType == core.RawRows {
		return asItIs, k.prepareStored(ctx, m)
	}
	if m.RawType != core.RawData && m.RawType != core.RawMetadata {
		k.sought = k.super.Table != "" // it may bring a super table
		return asItIs, nil
	}
	t, err := k.tables(m, false)
	if err != nil || len(t.list) == 0 {
		return asItIs, nil // whoever cannot read the rows either says so
	}
	if err := k.findSuper(ctx, false); err != nil {
		return asItIs, err
	}
	if k.super.Table == "" {
		return apart, nil
	}
	err = k.touch(ctx, &t)
	if codeOf(err) == codeTableMissing && len(t.create) > 0 {
		return made, nil // the library takes what is to be created for another table
	}
	return k.touched(&t, err)
}

// prepareStored is the same for raw rows. Their columns do not come with them, so the
// sink is asked for those of the tables' keys. Where the library cannot be made to
// look they are refused: nothing else can be done with them.
func (k *sink) prepareStored(ctx context.Context, m *core.Message) error {
	t, err := k.tables(m, false)
	if err != nil {
		return k.unreadable(err)
	}
	if len(t.list) == 0 {
		return nil
	}
	if err := k.findKeys(ctx, t.list); err != nil {
		return err
	}
	way, err := k.touched(&t, k.touch(ctx, &t))
	if err == nil && way != asItIs {
		err = k.unreadable(errors.New("the adapter cannot be made to look up the tables of raw rows"))
	}
	return err
}

// findKeys asks for the key of each table: of a child, its super table's.
func (k *sink) findKeys(ctx context.Context, list []raw.Keyed) error {
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = t.Table
	}
	supers, err := k.supersOf(ctx, names)
	if err != nil {
		return err
	}
	keys := map[string][]raw.Column{}
	for i, name := range names {
		owner := cmp.Or(supers[name], name)
		if keys[owner] == nil {
			time, simple, err := k.describeTime(ctx, owner)
			if err != nil {
				return err
			}
			if !simple {
				return k.unreadable(fmt.Errorf("table %s has a composite key, and raw rows do not tell it", owner))
			}
			keys[owner] = raw.ByTime(owner, time).Key
		}
		list[i].Key = keys[owner]
	}
	return nil
}

// supersOf are the super tables of tables that are there, by their names; that of a
// normal table is empty.
func (k *sink) supersOf(ctx context.Context, names []string) (map[string]string, error) {
	supers := make(map[string]string, len(names))
	for part := range slices.Chunk(names, 1000) {
		quoted := make([]string, len(part))
		for i, name := range part {
			quoted[i] = QuoteString(name)
		}
		b, err := k.s.queryRows(ctx, "look for tables at "+k.ep.String(), "select table_name, stable_name from information_schema.ins_tables where db_name = "+
			QuoteString(k.database)+" and table_name in ("+strings.Join(quoted, ",")+")")
		if err != nil {
			return nil, err
		}
		for row := 0; b != nil && row < b.Rows; row++ {
			name, _ := b.Columns[0].Value(row)
			super, _ := b.Columns[1].Value(row)
			supers[string(name)] = string(super)
		}
	}
	return supers, nil
}

// describeTime is the name of a table's time; simple tells that this is all of its key.
func (k *sink) describeTime(ctx context.Context, table string) (time string, simple bool, err error) {
	b, err := k.s.queryRows(ctx, fmt.Sprintf("describe table %q of database %q at %s", table, k.database, k.ep), "describe "+qualified(k.database, table))
	if err != nil || b == nil || b.Rows < 2 || len(b.Columns) < 4 {
		return "", false, err
	}
	name, _ := b.Columns[0].Value(0)
	note, _ := b.Columns[3].Value(1)
	return string(name), !core.Column{Note: string(note)}.IsKey(), nil
}

// touched is what the answer to a touch means.
func (k *sink) touched(t *tables, err error) (way, error) {
	switch {
	case codeOf(err) == codeNowhere:
		k.remember(t.keys)
		return asItIs, nil
	case codeOf(err) == codeTableMissing || err != nil && core.ClassOf(err).Retryable():
		return asItIs, err
	}
	k.sought = false // it may be a super table no more
	return apart, nil
}

// writeAs writes rows. What the adapter refuses because it knows the table that a
// message asks to create is written as if the table had been there.
func (k *sink) writeAs(ctx context.Context, m *core.Message, w way) error {
	switch w {
	case apart:
		return k.writeApart(ctx, m)
	case made:
		return k.writeMade(ctx, m)
	}
	err := k.write(ctx, m)
	if m.RawType != core.RawMetadata || codeOf(err) != codeOtherSuper {
		return err
	}
	if other, bad := k.otherSuper(ctx, m); bad != nil || other {
		return cmp.Or(bad, err)
	}
	return k.writeMade(ctx, m)
}

// writeMade creates a message's tables, and writes its rows without the requests.
func (k *sink) writeMade(ctx context.Context, m *core.Message) error {
	t, err := k.tables(m, true)
	if err != nil {
		return k.unreadable(err)
	}
	if err := k.createTables(ctx, m, t.create); err != nil {
		return err
	}
	t.create = nil
	w, err := k.touched(&t, k.touch(ctx, &t))
	if err != nil {
		return err
	}
	rows, err := raw.WithoutRequests(m.Payload())
	if err != nil {
		return k.unreadable(err)
	}
	return k.writeAs(ctx, raw.Item{RawType: core.RawData, Payload: rows}.Message(m), w)
}

func (k *sink) unreadable(err error) error {
	return &core.Error{Class: core.ClassData, Op: k.writeOp, Text: err.Error(), Err: err}
}

func (k *sink) createTables(ctx context.Context, m *core.Message, list []raw.NewTable) error {
	if len(list) == 0 {
		return nil
	}
	return k.write(ctx, raw.Item{RawType: core.RawCreateTbl, Payload: raw.EncodeCreate(list)}.Message(m))
}

// otherSuper reports whether a table that a message asks to create is there and
// belongs to another super table.
func (k *sink) otherSuper(ctx context.Context, m *core.Message) (bool, error) {
	t, err := k.tables(m, true)
	if err != nil {
		return false, k.unreadable(err)
	}
	names := make([]string, len(t.create))
	for i, c := range t.create {
		names[i] = c.Name
	}
	supers, err := k.supersOf(ctx, names)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(t.create, func(c raw.NewTable) bool {
		super, there := supers[c.Name]
		return there && super != c.Super
	}), nil
}

// touch sends the message that makes the library look up tables. Its answer is
// always an error, and codeNowhere tells that it has done so. It is nil if there is
// no super table.
func (k *sink) touch(ctx context.Context, t *tables) error {
	for again := false; ; again = true {
		if err := k.findSuper(ctx, again); err != nil {
			return err
		}
		if k.super.Table == "" {
			return nil
		}
		rawType, payload := raw.EncodeTouch(t.list, k.super, t.create)
		err := k.write(ctx, raw.Item{RawType: rawType, Payload: payload}.Message(nil))
		if again || codeOf(err) != codeTableMissing {
			return err
		}
		// It may be the super table that was dropped.
	}
}

// tables lists a message's tables, all or those that were not looked up yet.
func (k *sink) tables(m *core.Message, all bool) (t tables, err error) {
	if k.known == nil {
		k.known, k.seed = map[uint64]struct{}{}, maphash.MakeSeed()
	}
	err = raw.Tables(m.RawType, m.Payload(), func(ref raw.TableRef) {
		name := maphash.Bytes(k.seed, ref.Name)
		if ref.Created {
			if t.names[name] {
				t.create = append(t.create, raw.NewTable{Name: string(ref.Name), Super: ref.Super, Record: ref.Record})
			}
			return
		}
		key := name ^ maphash.Bytes(k.seed, ref.Schema)
		if _, ok := k.known[key]; ok && !all {
			return
		}
		var columns []raw.Column
		if m.RawType != core.RawRows {
			var bad error
			if columns, bad = raw.SchemaKey(ref.Schema); bad != nil {
				return // such rows are refused
			}
		}
		if t.keys == nil {
			t.keys, t.names = map[uint64]bool{}, map[uint64]bool{}
		}
		if t.keys[key] = true; !t.names[name] {
			t.names[name] = true
			t.list = append(t.list, raw.Keyed{Table: string(ref.Name), Key: columns})
		}
	})
	return t, err
}

func (k *sink) remember(keys map[uint64]bool) {
	if len(k.known)+len(keys) > maxRecalled {
		clear(k.known)
	}
	for key := range keys {
		k.known[key] = struct{}{}
	}
}

// findSuper asks for some super table of the database, unless one is known. A row of
// one with a composite key would need a value in it, so it looks for another.
func (k *sink) findSuper(ctx context.Context, again bool) error {
	if k.sought && !again {
		return nil
	}
	op := fmt.Sprintf("look for a super table of database %q at %s", k.database, k.ep)
	k.super, k.sought = raw.Keyed{}, false
	names, err := k.s.queryRows(ctx, op, fmt.Sprintf("select stable_name from information_schema.ins_stables where db_name = %s limit %d",
		QuoteString(k.database), supersTried))
	if err != nil {
		return err
	}
	k.sought = true
	for row := 0; names != nil && row < names.Rows && k.super.Table == ""; row++ {
		name, _ := names.Columns[0].Value(row)
		time, simple, err := k.describeTime(ctx, string(name))
		if slices.Contains(goneCodes, codeOf(err)) {
			k.sought = false // it was dropped at this moment, and another may come
			continue
		}
		if err != nil {
			k.sought = false
			return err
		}
		if simple {
			k.super = raw.ByTime(string(name), time)
		}
	}
	k.sought = k.sought || k.super.Table != ""
	return nil
}

const (
	// partSize is about how many bytes of rows are written at once by a table's name.
	partSize = 1 << 20
	// enoughSize is from when on rows are worth a request of their own: they are not
	// copied to be joined with more.
	enoughSize = 64 << 10
)

// writeApart writes rows table by table, each by its name in this database.
func (k *sink) writeApart(ctx context.Context, m *core.Message) error {
	blocks, created, err := raw.Rows(m.RawType, m.Payload())
	if err != nil {
		return k.unreadable(err)
	}
	if err := k.createTables(ctx, m, created); err != nil {
		return err
	}
	for b := range raw.Gathered(blocks, enoughSize) {
		for part := range b.Parts(partSize) {
			if err := k.writeBlock(ctx, part); err != nil {
				return err
			}
		}
	}
	return nil
}
