package raw

import (
	"fmt"

	"tdreplica/core"
)

// Kind says what a Meta does.
type Kind string

// The kinds of metas.
const (
	CreateSuperTable Kind = "create super table"
	AlterSuperTable  Kind = "alter super table"
	DropSuperTable   Kind = "drop super table"
	CreateTables     Kind = "create table"
	AlterOneTable    Kind = "alter table"
	DropTables       Kind = "drop table"
	DeleteRows       Kind = "delete"
	// Unknown is a meta of a raw type that this package does not know: it can
	// still be applied as it is.
	Unknown Kind = "unknown"
)

// Item is a meta that is not taken apart yet. Payload can be written on its own,
// with RawType.
type Item struct {
	RawType core.RawType
	Payload []byte
}

// Meta is one change that is not rows: of Super, Alter, Tables, Dropped and
// Delete those are set that its kind needs.
type Meta struct {
	Item
	Kind Kind
	// Marked tells that replication wrote this change at its server. Drops carry
	// no mark: false there says nothing.
	Marked bool

	Super   *SuperTable // create and alter super table: the table as it is afterwards
	Alter   *Alter      // alter super table (nil where the payload does not tell) and alter table
	Tables  []NewTable  // create table: at least one
	Dropped []Dropped   // drop super table: one; drop table: at least one
	Delete  *Delete     // delete
}

// Destroys reports whether rows or tables that were written before the change no
// longer fit, or no longer have a place, after it, in other vgroups too. It is
// false for a drop of a child or normal table, which is one vgroup's affair, and
// true for an alter of a super table that does not tell what it alters.
func (m Meta) Destroys() bool {
	switch m.Kind {
	case DropSuperTable:
		return true
	case AlterSuperTable:
		return m.Alter == nil || m.Alter.Change.Destroys()
	}
	return false
}

// markTaosX and its older form are the bits that raw writing sets.
const (
	markTaosX    = 0x08
	markTaosXOld = 0x01
)

func marked(source uint8) bool { return source&(markTaosX|markTaosXOld) != 0 }

// Metas takes a payload of a meta apart: one Meta for a single one, several for
// a batch. An error wraps ErrMalformed; then nothing is returned.
func Metas(t core.RawType, payload []byte) ([]Meta, error) {
	items := []Item{{t, payload}}
	if t == core.RawBatchMeta {
		var err error
		if items, err = SplitBatch(payload); err != nil {
			return nil, err
		}
	}
	metas := make([]Meta, len(items))
	for i, it := range items {
		m, err := decodeMeta(it)
		if err != nil {
			return nil, fmt.Errorf("item %d of %d, raw type %d: %w", i+1, len(items), it.RawType, err)
		}
		metas[i] = m
	}
	return metas, nil
}

// messageHead is in front of every single meta: the message's length and the
// vgroup that logged it, 4 bytes each. The writer ignores both.
const messageHead = 8

func decodeMeta(it Item) (Meta, error) {
	m := Meta{Item: it, Kind: Unknown}
	r := &reader{b: it.Payload}
	r.take(messageHead)
	switch it.RawType {
	case core.RawCreateSTB, core.RawAlterSTB:
		m.Kind = CreateSuperTable
		if it.RawType == core.RawAlterSTB {
			m.Kind = AlterSuperTable
		}
		m.superTable(r)
	case core.RawDropSTB:
		m.Kind = DropSuperTable
		f := r.frame()
		m.Dropped = []Dropped{{Name: f.cstr(), SUID: f.i64()}}
		r.refuse(f.err)
	case core.RawCreateTbl:
		m.Kind = CreateTables
		m.createTables(r)
	case core.RawAlterTbl:
		m.Kind = AlterOneTable
		m.alterTable(r)
	case core.RawDropTbl:
		m.Kind = DropTables
		m.dropTables(r)
	case core.RawDeleteRows:
		m.Kind = DeleteRows
		m.deleteRows(r)
	}
	return m, r.err
}

// batchHead is the record in front of an item of a batch: the head of the
// server's reply, of which a writer uses nothing.
const batchHead = 33

// noOffset is an encoded offset that says nothing.
const noOffset = 0x10

// SplitBatch takes a batch meta apart without looking into its items. An error
// wraps ErrMalformed.
func SplitBatch(payload []byte) ([]Item, error) {
	r := &reader{b: payload}
	items := make([]Item, r.count(int64(r.i32()), batchHead+4))
	for i := range items {
		rec := &reader{b: r.blob()}
		rec.take(batchHead)
		rec.offset()
		items[i] = Item{core.RawType(rec.u16()), rec.blob()}
		r.refuse(rec.err)
	}
	if r.err != nil {
		return nil, fmt.Errorf("split a batch of metas: %w", r.err)
	}
	return items, nil
}

// offset steps over an encoded offset: a WAL version, a place in a snapshot, or
// nothing. The high half of its first byte is the encoding's version.
func (r *reader) offset() {
	const log, snapshotData, snapshotMeta = 1, 2, 3
	kind := int8(r.u8())
	if kind < 0 {
		return
	}
	switch kind & 0x0f {
	case log:
		r.take(8)
	case snapshotData, snapshotMeta:
		r.take(16)
		if kind>>4 == 0 {
			return
		}
		if Type(r.u8()).variable() {
			r.blob()
		} else {
			r.take(8)
		}
	}
}

// Message is the item as a message of its own, from the same vgroup and time as
// the one it came in. It owns its memory.
func (it Item) Message(from *core.Message) *core.Message {
	m := &core.Message{RawType: it.RawType, Kind: core.KindMeta, Body: core.FrameHead}
	switch it.RawType {
	case core.RawData:
		m.Kind = core.KindData
	case core.RawMetadata:
		m.Kind = core.KindMetadata
	}
	if from != nil {
		m.Vgroup, m.ID, m.Offset, m.ReadAt = from.Vgroup, from.ID, from.Offset, from.ReadAt
	}
	m.Frame = append(make([]byte, core.FrameHead, core.FrameHead+len(it.Payload)), it.Payload...)
	return m
}
