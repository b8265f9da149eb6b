package raw

import (
	"encoding/binary"
	"slices"

	"tdreplica/core"
)

// A request to create a child has the values of its tags in the order of their
// numbers, and their names in that of the statement. A writer that looks up the
// numbers by name takes the first name for that of the first value, and so on; one of
// 3.3.3 leaves the values in that order although they are searched by number
// (docs/protocol.md, section 9).

// Paired is the request with its names in the order of the values, which is that of
// the tags in the super table of whoever logged it. It returns false if these are
// not the tags of that super table.
func (t NewTable) Paired(tags []core.Column) (NewTable, bool) {
	if t.loose() {
		return t, false
	}
	order, known := t.order(tags)
	if !known {
		return t, false
	}
	return t.rename(order), true
}

// Arranged is a paired request with names and values in the order of the tags of the
// super table that they are for. If that one has not all of them they stay as they are:
// a writer leaves the numbers of the others, and values must ascend by number.
func (t NewTable) Arranged(tags []core.Column) NewTable {
	if t.loose() {
		return t
	}
	order, known := t.order(tags)
	if !known || slices.IsSorted(order) {
		return t
	}
	t = t.rename(order)
	t.Tags = permuted(t.Tags, order)
	t.putTags()
	return t
}

// putTags encodes the tags once more, in the same place.
func (t NewTable) putTags() {
	list := (&reader{b: t.Record[t.tagsAt:t.tagsEnd]}).blob()
	places := list[tagsHead:]
	width := 1
	if list[0]&tagsAreLarge != 0 {
		width = 2
	}
	values := places[len(t.Tags)*width:][:0]
	for i, tag := range t.Tags {
		if width == 2 {
			binary.LittleEndian.PutUint16(places[2*i:], uint16(len(values)))
		} else {
			places[i] = byte(len(values))
		}
		values = append(appendVarint(values, int64(tag.ID)), byte(tag.Type))
		if tag.Type.variable() {
			values = appendBlob(values, tag.Value)
		} else {
			values = append(values, tag.Value...)
		}
	}
}

// loose reports whether names and values cannot be brought together.
func (t NewTable) loose() bool { return len(t.TagNames) != len(t.Tags) || len(t.Tags) == 0 }

// order is where each tag is found among the request's, in the order in which a super
// table has them.
func (t NewTable) order(tags []core.Column) (order []int, known bool) {
	place := make([]int, len(t.TagNames))
	known = true
	for i, name := range t.TagNames {
		order = append(order, i)
		if place[i] = slices.IndexFunc(tags, func(c core.Column) bool { return c.Name == name }); place[i] < 0 {
			place[i], known = len(tags), false
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return place[a] - place[b] })
	return order, known
}

// rename gives the names another order, in memory of its own.
func (t NewTable) rename(order []int) NewTable {
	t.TagNames, t.Record = permuted(t.TagNames, order), slices.Clone(t.Record)
	at := t.Record[:t.namesAt]
	for _, name := range t.TagNames {
		at = appendCStr(at, name) // as long together as before
	}
	return t
}

func permuted[T any](list []T, order []int) []T {
	out := make([]T, len(order))
	for i, from := range order {
		out[i] = list[from]
	}
	return out
}
