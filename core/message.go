package core

import "time"

// MessageKind is what a TMQ message holds (the adapter's message_type).
type MessageKind int32

// The kinds of messages.
const (
	KindData     MessageKind = 1 // rows
	KindMeta     MessageKind = 2 // DDL and deletes
	KindMetadata MessageKind = 3 // rows together with requests to create their tables
	KindRaw      MessageKind = 4 // rows in the source's own encoding
)

// RawType is the type number that travels with a raw payload and must be given
// back when it is written.
type RawType uint16

// The raw types (docs/protocol.md, "raw_type").
const (
	RawData       RawType = 2
	RawMetadata   RawType = 4
	RawBatchMeta  RawType = 5
	RawRows       RawType = 6
	RawCreateSTB  RawType = 531
	RawAlterSTB   RawType = 533
	RawDropSTB    RawType = 535
	RawCreateTbl  RawType = 515
	RawAlterTbl   RawType = 517
	RawDropTbl    RawType = 519
	RawDeleteRows RawType = 579
)

// FrameHead is how many bytes in front of a message's payload belong to the
// writer: it puts the header of its own frame there, so that a payload goes
// from one socket to the other without being copied in between.
const FrameHead = 30

// Message is one TMQ message as it was read at the source. Its owner is the
// one who holds it; it is not safe for concurrent use.
type Message struct {
	Vgroup  int32
	Kind    MessageKind
	RawType RawType
	ID      uint64 // counts per connection
	// Offset is what poll reported: for rows the start of the batch, for meta
	// the next version to read. Never commit it for rows.
	Offset int64
	ReadAt time.Time
	Frame  []byte // the payload with at least FrameHead bytes in front
	Body   int    // where the payload starts in Frame
	// Reuse takes the memory of Frame back; nil leaves it to the garbage
	// collector.
	Reuse func(frame []byte)
}

// Payload is the raw message. It aliases Frame.
func (m *Message) Payload() []byte { return m.Frame[m.Body:] }

// Size is how many bytes the message holds in memory.
func (m *Message) Size() int64 { return int64(cap(m.Frame)) }

// Release gives the message's memory back. Neither the message nor anything
// that aliases its payload may be used afterwards.
func (m *Message) Release() {
	frame := m.Frame
	m.Frame, m.Body = nil, 0
	if m.Reuse != nil {
		m.Reuse(frame)
	}
}

// VgroupOffset is an offset in one vgroup.
type VgroupOffset struct {
	Vgroup int32
	Offset int64
}

// Assignment is what the source reports about one vgroup of a subscription.
// Offset is where the group would go on, Begin the first WAL version that is
// still there, End the end of the WAL (exclusive). After the first batch the
// server's Offset is the start of the last batch, not the position.
type Assignment struct {
	Vgroup int32
	Offset int64
	Begin  int64
	End    int64
}
