package embedded

import (
	"hash/crc32"
	"slices"
	"sort"
	"time"
)

// The kinds of WAL entries: the real numbers of the metas and of raw types,
// and our own for what a consumer never sees.
const (
	kindSubmit      uint16 = 2
	kindRawRows     uint16 = 6 // of messages only
	kindMetadata    uint16 = 4 // a message of submits, some of which create tables
	kindBatchMeta   uint16 = 5
	kindCreateTable uint16 = 515
	kindAlterTable  uint16 = 517
	kindDropTable   uint16 = 519
	kindCreateSTB   uint16 = 531
	kindAlterSTB    uint16 = 533
	kindDropSTB     uint16 = 535
	kindDelete      uint16 = 579
	kindNoop        uint16 = 1000 // configuration, subscriptions
	kindCommit      uint16 = 1001
)

// entry is one version of a vgroup's WAL.
type entry struct {
	kind    uint16
	marked  bool // written by the raw writer
	at      time.Time
	data    []byte   // a meta's payload, or the table blocks of a submit
	blocks  int      // in data
	rows    int      // in data
	creates [][]byte // a submit's requests to create tables
}

// vgroup holds a share of a database's tables and their WAL.
type vgroup struct {
	id      int32
	db      *database
	from    uint32 // the least hash of its tables' names
	begin   int64  // the version of entries[0]
	shared  int64  // below it are the entries of the vgroup that this one was split from
	entries []entry
	bytes   int64 // of entries' payloads
	tables  int
	// kept says that nothing from the version keep on may be removed.
	kept bool
	keep int64
}

// end is the version that the next entry will have.
func (vg *vgroup) end() int64 { return vg.begin + int64(len(vg.entries)) }

func (vg *vgroup) at(version int64) *entry { return &vg.entries[version-vg.begin] }

func (vg *vgroup) append(e entry) {
	e.at = vg.db.node.now()
	vg.entries = append(vg.entries, e)
	vg.bytes += int64(len(e.data))
	vg.db.node.wake()
}

// truncate removes every version below begin that need not be kept.
func (vg *vgroup) truncate(begin int64) {
	if vg.kept {
		begin = min(begin, vg.keep)
	}
	n := min(max(begin-vg.begin, 0), int64(len(vg.entries)))
	for i := range vg.entries[:n] {
		vg.bytes -= int64(len(vg.entries[i].data))
		vg.entries[i] = entry{}
	}
	vg.entries = vg.entries[n:]
	vg.begin += n
}

// retain removes what the database's retention no longer keeps.
func (vg *vgroup) retain(now time.Time) {
	period, size := vg.db.walPeriod(), vg.db.walSizeKB()*1024
	n, bytes := 0, vg.bytes
	for n < len(vg.entries) {
		old := period >= 0 && now.Sub(vg.entries[n].at) > time.Duration(period)*time.Second
		big := size > 0 && bytes > size
		if !old && !big {
			break
		}
		bytes -= int64(len(vg.entries[n].data))
		n++
	}
	vg.truncate(vg.begin + int64(n))
}

// vgroupOf places a table by its name, as every table of a database is: each
// vgroup has a range of hashes.
func (db *database) vgroupOf(table string) *vgroup {
	h := crc32.ChecksumIEEE([]byte(table))
	i := sort.Search(len(db.vgroups), func(i int) bool { return db.vgroups[i].from > h })
	return db.vgroups[i-1]
}

// split replaces a vgroup by two that share its range of hashes. Both begin as
// copies of it: their WALs hold all its entries under the same versions, and
// the groups' offsets are kept.
func (db *database) split(at int) {
	n, old := db.node, db.vgroups[at]
	size := uint64(1)<<32 - uint64(old.from)
	if at+1 < len(db.vgroups) {
		size = uint64(db.vgroups[at+1].from) - uint64(old.from)
	}
	var halves []*vgroup
	for i := range uint64(2) {
		half := &vgroup{
			id: n.nextVgroup, db: db, from: old.from + uint32(i*size/2),
			begin: old.begin, entries: slices.Clone(old.entries), bytes: old.bytes, shared: old.end(),
		}
		n.nextVgroup++
		halves = append(halves, half)
	}
	db.vgroups = slices.Replace(db.vgroups, at, at+1, halves...)
	for _, t := range db.tables {
		if t.vg == old {
			t.vg = db.vgroupOf(t.name)
			t.vg.tables++
		}
	}
	for _, topic := range n.topics {
		for _, g := range topic.groups {
			for _, half := range halves {
				if stored, ok := g.stored[old.id]; ok && topic.db == db {
					g.stored[half.id] = stored
				}
			}
		}
	}
}

// log appends an entry to every vgroup; build makes its payload for each.
func (db *database) log(kind uint16, marked bool, build func(vg *vgroup) []byte) {
	for _, vg := range db.vgroups {
		vg.append(entry{kind: kind, marked: marked, data: build(vg)})
	}
}
