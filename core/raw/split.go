package raw

import (
	"slices"

	"tdreplica/core"
)

// SplitColumns divides a message of rows where a table appears with different
// sets of columns, as it does after inserts that name only some of them: each
// part has one set for a table, in the order of the message, and a request to
// create a table travels with the first rows of it: a writer ignores those that
// come without. A message that needs no division comes back as nil. An error
// wraps ErrMalformed.
//
// Client libraries before 3.3.7 end their whole process when they are given
// both sets at once (docs/protocol.md, "Raw write").
func SplitColumns(t core.RawType, payload []byte) ([]Item, error) {
	blocks, created, err := Rows(t, payload)
	if err != nil {
		return nil, err
	}
	var parts [][]Block
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
	if len(parts) == 0 {
		return nil, nil
	}
	parts = append(parts, blocks[start:])
	items := make([]Item, len(parts))
	for i, part := range parts {
		var create []NewTable
		create, created = requestsFor(part, created)
		items[i].RawType, items[i].Payload = EncodeRows(part, create)
	}
	return items, nil
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
