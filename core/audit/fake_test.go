package audit

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// key identifies a row: its time, and the second column of a key that has one.
type key struct{ ts, n int64 }

// value is a row's other column; nil is NULL.
type value *string

// side is one end in memory: one super table `st` with these children.
type side struct {
	composite bool
	children  map[string]map[key]value
	tags      map[string]string
	columns   []core.Column // of st
	queries   int
}

func newFake(composite bool) *side {
	s := &side{composite: composite, children: map[string]map[key]value{}, tags: map[string]string{}}
	n := core.Column{Name: "n", Type: "BIGINT", Length: 8}
	if composite {
		n.Note = "COMPOSITE KEY"
	}
	s.columns = []core.Column{{Name: "ts", Type: "TIMESTAMP", Length: 8}, n, {Name: "s", Type: "VARCHAR", Length: 20}}
	return s
}

// has reports whether st has a column, and a group is about it.
func (s *side) has(name string, g Group) bool {
	is := func(c core.Column) bool { return c.Name == name }
	return slices.ContainsFunc(s.columns, is) && slices.ContainsFunc(g.Columns, is)
}

// put writes a row. Without a second key column the time alone is the key.
func (s *side) put(table string, k key, v value) {
	if !s.composite {
		maps.DeleteFunc(s.children[table], func(old key, _ value) bool { return old.ts == k.ts })
	}
	s.children[table][k] = v
}

func (s *side) clone() *side {
	out := newFake(s.composite)
	out.columns, out.tags = s.columns, maps.Clone(s.tags)
	for t, rows := range s.children {
		out.children[t] = maps.Clone(rows)
	}
	return out
}

func (s *side) sorted(table string) []key {
	return slices.SortedFunc(maps.Keys(s.children[table]), func(a, b key) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.n, b.n)) })
}

func (s *side) Versions() core.Versions { return core.Versions{} }
func (s *side) Database(context.Context, string) (*core.Database, error) {
	return &core.Database{Precision: "ms"}, nil
}
func (s *side) Topic(context.Context, string) (*core.Topic, error) { return nil, nil }
func (s *side) SuperTables(context.Context, string) ([]string, error) {
	return []string{"st"}, nil
}
func (s *side) Checksums(context.Context) (bool, error) { return true, nil }
func (s *side) Close() error                            { return nil }

func (s *side) Tables(context.Context, string) (out []Table, err error) {
	for t := range s.children {
		out = append(out, Table{t, "st"})
	}
	return out, nil
}

func (s *side) Describe(_ context.Context, _, table string) (*core.Table, error) {
	return &core.Table{Name: table, Columns: slices.Clone(s.columns), Tags: []core.Column{{Name: "g", Type: "INT", Note: "TAG"}}}, nil
}

func (s *side) Tags(context.Context, string, string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for t := range s.children {
		out[t] = map[string]string{"g": s.tags[t]}
	}
	return out, nil
}

func (s *side) Span(_ context.Context, _ string, g Group) (sp Span, err error) {
	for _, t := range g.Tables {
		for k := range s.children[t] {
			if sp.Rows == 0 {
				sp.First, sp.Last = k.ts, k.ts
			}
			sp.Rows++
			sp.First, sp.Last = min(sp.First, k.ts), max(sp.Last, k.ts)
		}
	}
	return sp, nil
}

func (s *side) Digests(_ context.Context, _ string, g Group, w Window) (map[string]Digest, error) {
	s.queries++
	out := map[string]Digest{}
	for _, t := range g.Tables {
		for k, v := range s.children[t] {
			if k.ts < w.From || k.ts >= w.To {
				continue
			}
			d := out[t]
			d.Rows++
			h := fnv.New64a()
			fmt.Fprint(h, k.ts, " ", k.n)
			if s.has("s", g) {
				fmt.Fprint(h, v == nil, text(v))
			}
			d.Exact += h.Sum64()
			out[t] = d
		}
	}
	return out, nil
}

// Rows are sorted as a server sorts them.
func (s *side) Rows(_ context.Context, _, table string, g Group, w Window, limit int) (raw.Block, error) {
	var keys []key
	for _, k := range s.sorted(table) {
		if k.ts >= w.From && k.ts < w.To && len(keys) < limit {
			keys = append(keys, k)
		}
	}
	b := raw.Block{Rows: len(keys), Precision: "ms", Columns: []raw.ColumnData{
		{Column: raw.Column{Name: "ts", Type: raw.Timestamp, Bytes: 8}}, {Column: raw.Column{Name: "n", Type: raw.BigInt, Bytes: 8}},
		{Column: raw.Column{Name: "s", Type: raw.VarChar, Bytes: 22}},
	}}
	for i := range b.Columns[:2] {
		b.Columns[i].Index = make([]byte, (len(keys)+7)/8)
	}
	for _, k := range keys {
		b.Columns[0].Data = binary.LittleEndian.AppendUint64(b.Columns[0].Data, uint64(k.ts))
		b.Columns[1].Data = binary.LittleEndian.AppendUint64(b.Columns[1].Data, uint64(k.n))
		c := &b.Columns[2]
		v := s.children[table][k]
		if v == nil {
			c.Index = binary.LittleEndian.AppendUint32(c.Index, ^uint32(0))
			continue
		}
		c.Index = binary.LittleEndian.AppendUint32(c.Index, uint32(len(c.Data)))
		c.Data = append(binary.LittleEndian.AppendUint16(c.Data, uint16(len(*v))), *v...)
	}
	if !s.has("s", g) {
		b.Columns = b.Columns[:2]
	}
	return b, nil
}

func (s *side) CreateStatement(_ context.Context, _, table string) (core.CreateStatement, error) {
	if s.children[table] == nil {
		return core.CreateStatement{}, &core.Error{Code: codeTableMissing}
	}
	return core.CreateStatement{Table: table, Super: "st"}, nil
}

func (s *side) CreateTable(_ context.Context, _ string, c core.CreateStatement) error {
	s.children[c.Table] = map[key]value{}
	return nil
}

func (s *side) AddColumn(_ context.Context, _, _ string, c core.Column) error {
	s.columns = append(s.columns, c)
	return nil
}

func (s *side) WidenColumn(_ context.Context, _, _ string, c core.Column) error {
	for i := range s.columns {
		if s.columns[i].Name == c.Name {
			s.columns[i].Length = c.Length
		}
	}
	return nil
}

func (s *side) SetTag(_ context.Context, _, table string, _ core.Column, literal string) error {
	s.tags[table] = literal
	return nil
}

// writer applies what a repair writes to a side.
type writer struct{ to *side }

func (w writer) Close() error { return nil }

func (w writer) Write(_ context.Context, m *core.Message) error {
	if m.RawType == core.RawDeleteRows {
		metas, err := raw.Metas(m.RawType, m.Payload())
		if err != nil {
			return err
		}
		d := metas[0].Delete
		maps.DeleteFunc(w.to.children[d.Table], func(k key, _ value) bool { return k.ts >= d.From && k.ts <= d.To })
		return nil
	}
	blocks, _, err := raw.Rows(m.RawType, m.Payload())
	for _, b := range blocks {
		for row := range b.Rows {
			at, _ := b.Time(row)
			n, _ := b.Columns[1].Value(row)
			k := key{at, int64(binary.LittleEndian.Uint64(n))}
			v := w.to.children[b.Table][k] // a column that is not written keeps its value
			if len(b.Columns) > 2 {
				v = nil
				if text, ok := b.Columns[2].Value(row); ok {
					s := string(text)
					v = &s
				}
			}
			w.to.put(b.Table, k, v)
		}
	}
	return err
}
