package embedded

import (
	"hash/fnv"
	"time"
)

// The kinds of WAL entries: the real numbers of the metas and of raw types,
// and our own for what a consumer never sees.
const (
	kindSubmit      uint16 = 2
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
	begin   int64 // the version of entries[0]
	entries []entry
	bytes   int64 // of entries' payloads
	tables  int
}

// end is the version that the next entry will have.
func (vg *vgroup) end() int64 { return vg.begin + int64(len(vg.entries)) }

func (vg *vgroup) at(version int64) *entry { return &vg.entries[version-vg.begin] }

func (vg *vgroup) append(e entry) {
	e.at = time.Now()
	vg.entries = append(vg.entries, e)
	vg.bytes += int64(len(e.data))
	vg.db.node.wake()
}

// truncate removes every version below begin.
func (vg *vgroup) truncate(begin int64) {
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

// vgroupOf places a table by its name, as every table of a database is.
func (db *database) vgroupOf(table string) *vgroup {
	h := fnv.New32a()
	h.Write([]byte(table))
	return db.vgroups[int(h.Sum32()%uint32(len(db.vgroups)))]
}

// log appends an entry to every vgroup; build makes its payload for each.
func (db *database) log(kind uint16, marked bool, build func(vg *vgroup) []byte) {
	for _, vg := range db.vgroups {
		vg.append(entry{kind: kind, marked: marked, data: build(vg)})
	}
}
