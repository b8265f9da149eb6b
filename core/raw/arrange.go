package raw

import (
	"encoding/binary"
	"fmt"
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
// not the tags of that super table, as far as names and types tell. With some, names
// that are not among the tags do not matter, if types leave only one way to pair the
// others.
func (t NewTable) Paired(tags []core.Column, some bool) (NewTable, bool) {
	given := slices.DeleteFunc(slices.Clone(tags), func(c core.Column) bool { return !slices.Contains(t.TagNames, c.Name) })
	if t.loose() || len(given) < len(t.TagNames) && !some || len(given) == 0 {
		return t, false
	}
	places, ok := t.places(given)
	if !ok {
		return t, false
	}
	names := slices.Clone(t.TagNames)
	for _, c := range given {
		i := slices.Index(names, c.Name)
		names = slices.Delete(names, i, i+1)
	}
	for i, c := range given { // ascending, so that none moves another one
		names = slices.Insert(names, places[i], c.Name)
	}
	return t.renamed(names), true
}

// Numbered is the request with the names that tags have by their numbers. One whose
// number is none of them was dropped: it gets a name that no tag has, so that a writer
// leaves its number.
func (t NewTable) Numbered(names map[int16]string) NewTable {
	list := make([]string, len(t.Tags))
	for i, tag := range t.Tags {
		if list[i] = names[tag.ID]; list[i] == "" {
			list[i] = fmt.Sprintf("dropped %d", tag.ID)
		}
	}
	return t.renamed(list)
}

// places are the only values that tags may have by their types, in this order.
func (t NewTable) places(tags []core.Column) (places []int, only bool) {
	latest := len(t.Tags)
	last := make([]int, len(tags))
	for i := len(tags) - 1; i >= 0; i-- {
		for latest--; latest >= 0 && t.Tags[latest].Type.String() != tags[i].Type; latest-- {
		}
		last[i] = latest
	}
	next := 0
	for _, c := range tags {
		for ; next < len(t.Tags) && t.Tags[next].Type.String() != c.Type; next++ {
		}
		places = append(places, next)
		next++
	}
	return places, slices.Equal(places, last)
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
	t = t.renamed(permuted(t.TagNames, order))
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

// renamed gives the values other names, in memory of its own.
func (t NewTable) renamed(names []string) NewTable {
	rest := &reader{b: t.Record[t.namesAt:]}
	for range t.TagNames {
		rest.blob()
	}
	record := slices.Clone(t.Record[:t.namesAt])
	for _, name := range names {
		record = appendCStr(record, name)
	}
	t.TagNames, t.Record = names, append(record, rest.b...)
	return t
}

func permuted[T any](list []T, order []int) []T {
	out := make([]T, len(order))
	for i, from := range order {
		out[i] = list[from]
	}
	return out
}
