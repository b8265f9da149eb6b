package embedded

import (
	"encoding/binary"
	"slices"
	"sort"
)

// rowSet is the rows of one table in columns, sorted by their keys. Columns are kept
// by id; one that has no vector yet is NULL throughout.
type rowSet struct {
	second *column // of a composite key; nil: the time alone is the key
	ts     []int64
	cols   map[int16]*vector
}

// vector is one column of a rowSet.
type vector struct {
	width int      // 0: variable
	fixed []byte   // width bytes a row
	nulls []bool   // of fixed ones
	vars  [][]byte // of variable ones; nil is NULL
}

func (v *vector) cell(i int) []byte {
	if v.width == 0 {
		return v.vars[i]
	}
	if v.nulls[i] {
		return nil
	}
	return v.fixed[i*v.width : (i+1)*v.width]
}

func (v *vector) set(i int, cell []byte) {
	if v.width == 0 {
		v.vars[i] = cell
		return
	}
	v.nulls[i] = cell == nil
	if cell != nil {
		copy(v.fixed[i*v.width:], cell)
	}
}

// open makes room for a NULL at row i.
func (v *vector) open(i int) {
	if v.width == 0 {
		v.vars = slices.Insert(v.vars, i, nil)
		return
	}
	v.nulls = slices.Insert(v.nulls, i, true)
	if i*v.width == len(v.fixed) {
		for range v.width {
			v.fixed = append(v.fixed, 0)
		}
		return
	}
	v.fixed = slices.Insert(v.fixed, i*v.width, make([]byte, v.width)...)
}

func (v *vector) cut(from, to int) {
	if v.width == 0 {
		v.vars = slices.Delete(v.vars, from, to)
		return
	}
	v.nulls = slices.Delete(v.nulls, from, to)
	v.fixed = slices.Delete(v.fixed, from*v.width, to*v.width)
}

// vector returns the column's vector, made if it is missing.
func (s *rowSet) vector(c column) *vector {
	if v := s.cols[c.id]; v != nil {
		return v
	}
	n := len(s.ts)
	v := &vector{width: typeInfos[c.typ].width}
	if v.width == 0 {
		v.vars = make([][]byte, n)
	} else {
		v.fixed, v.nulls = make([]byte, n*v.width), slices.Repeat([]bool{true}, n)
	}
	if s.cols == nil {
		s.cols = map[int16]*vector{}
	}
	s.cols[c.id] = v
	return v
}

// cell returns a column's value in row i. The first column is the time.
func (s *rowSet) cell(i int, id int16) []byte {
	if id == 1 {
		return binary.LittleEndian.AppendUint64(nil, uint64(s.ts[i]))
	}
	if v := s.cols[id]; v != nil {
		return v.cell(i)
	}
	return nil
}

// upsert writes rows given as cells of cols; cols[0] is the time. Columns that
// are not named keep what they have, or are NULL in new rows.
func (s *rowSet) upsert(cols []column, rows [][][]byte) {
	vectors := make([]*vector, len(cols))
	for i, c := range cols[1:] {
		vectors[i+1] = s.vector(c)
	}
	second := s.second.among(cols)
	i := -1
	for _, row := range rows {
		k := keyOf(row, second)
		if i++; i >= len(s.ts) || s.compare(i, k) != 0 { // rows often replace rows in their order
			i = s.place(k)
		}
		for j := 1; j < len(cols); j++ {
			vectors[j].set(i, row[j])
		}
	}
}

// appendBlock adds rows that are later than all that are there, in ascending
// order of time.
func (s *rowSet) appendBlock(cols []column, cells []blockColumn, rows int) {
	bound := map[int16]bool{}
	for i, c := range cols[1:] {
		s.vector(c).extend(&cells[i+1], rows)
		bound[c.id] = true
	}
	for id, v := range s.cols {
		if !bound[id] {
			v.extend(nil, rows)
		}
	}
	for r := range rows {
		s.ts = append(s.ts, leInt64(cells[0].data[r*8:]))
	}
}

// extend adds a block's column, or NULLs.
func (v *vector) extend(c *blockColumn, rows int) {
	switch {
	case v.width == 0:
		for r := range rows {
			var cell []byte
			if c != nil {
				cell = c.cell(r)
			}
			v.vars = append(v.vars, cell)
		}
		return
	case c == nil:
		v.fixed = append(v.fixed, make([]byte, rows*v.width)...)
	default:
		v.fixed = append(v.fixed, c.data[:rows*v.width]...)
	}
	for r := range rows {
		v.nulls = append(v.nulls, c == nil || c.nulls[r/8]&(0x80>>(r%8)) != 0)
	}
}

// place returns the row of a key, made if it is missing.
func (s *rowSet) place(k storeKey) int {
	n := len(s.ts)
	i := n
	if n > 0 && s.compare(n-1, k) >= 0 {
		i = sort.Search(n, func(i int) bool { return s.compare(i, k) >= 0 })
		if s.compare(i, k) == 0 {
			return i
		}
	}
	s.ts = slices.Insert(s.ts, i, k.ts)
	for _, v := range s.cols {
		v.open(i)
	}
	return i
}

// search returns the first row whose time is ts or later.
func (s *rowSet) search(ts int64) int {
	return sort.Search(len(s.ts), func(i int) bool { return s.ts[i] >= ts })
}

// span returns the rows of the times from through to, both inclusive.
func (s *rowSet) span(from, to int64) (int, int) {
	lo := s.search(from)
	hi := lo + sort.Search(len(s.ts)-lo, func(i int) bool { return s.ts[lo+i] > to })
	return lo, hi
}

func (s *rowSet) cut(lo, hi int) {
	s.ts = slices.Delete(s.ts, lo, hi)
	for _, v := range s.cols {
		v.cut(lo, hi)
	}
}
