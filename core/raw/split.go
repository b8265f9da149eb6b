package raw

import (
	"slices"

	"tdreplica/core"
)

// Divide divides a message of rows that client libraries before 3.3.7 do not
// survive, or get wrong (docs/protocol.md, section 9):
//   - a table that comes with different sets of columns, as it does after inserts
//     that name only some of them, ends their whole process. Each part has one set
//     for a table, in the order of the message;
//   - where a table that is to be created comes twice, rows of the next table that
//     is not to be created are written to it. Such tables get a part of their own.
//
// A request to create a table travels with the first rows of it: a writer ignores
// those that come without. A message that needs no division comes back as nil. An
// error wraps ErrMalformed.
func Divide(t core.RawType, payload []byte) ([]Item, error) {
	blocks, created, err := Rows(t, payload)
	if err != nil {
		return nil, err
	}
	parts := byColumns(blocks)
	if len(parts) == 1 && !misled(blocks, created) {
		return nil, nil
	}
	var items []Item
	add := func(blocks []Block, create []NewTable) {
		if len(blocks) > 0 {
			rawType, payload := EncodeRows(blocks, create)
			items = append(items, Item{RawType: rawType, Payload: payload})
		}
	}
	for _, part := range parts {
		var create []NewTable
		create, created = requestsFor(part, created)
		if !misled(part, create) {
			add(part, create)
			continue
		}
		requested := requests(create)
		others := func(b Block) bool { return !requested[b.Table] }
		add(slices.DeleteFunc(slices.Clone(part), others), create)
		add(slices.DeleteFunc(slices.Clone(part), func(b Block) bool { return !others(b) }), nil)
	}
	return items, nil
}

// byColumns divides blocks so that each part has one set of columns for a table.
func byColumns(blocks []Block) (parts [][]Block) {
	seen := map[string][]string{}
	start := 0
	for i := range blocks {
		names := blocks[i].columnNames()
		if before, ok := seen[blocks[i].Table]; ok && !slices.Equal(before, names) {
			parts = append(parts, blocks[start:i])
			start = i
			clear(seen)
		}
		seen[blocks[i].Table] = names
	}
	return append(parts, blocks[start:])
}

// misled reports whether a table that is to be created comes twice, and another
// one is not to be created.
func misled(blocks []Block, create []NewTable) bool {
	requested := requests(create)
	seen := map[string]bool{}
	twice, other := false, false
	for i := range blocks {
		name := blocks[i].Table
		other = other || !requested[name]
		twice = twice || requested[name] && seen[name]
		seen[name] = true
	}
	return twice && other
}

// requests are the names of the tables that are to be created.
func requests(create []NewTable) map[string]bool {
	names := make(map[string]bool, len(create))
	for _, c := range create {
		names[c.Name] = true
	}
	return names
}

// requestsFor divides requests to create tables into those of tables that have
// rows among blocks and the others.
func requestsFor(blocks []Block, created []NewTable) (with, without []NewTable) {
	tables := make(map[string]bool, len(blocks))
	for i := range blocks {
		tables[blocks[i].Table] = true
	}
	for _, c := range created {
		if tables[c.Name] {
			with = append(with, c)
		} else {
			without = append(without, c)
		}
	}
	return with, without
}

func (b *Block) columnNames() []string {
	names := make([]string, len(b.Columns))
	for i := range b.Columns {
		names[i] = b.Columns[i].Name
	}
	return names
}
