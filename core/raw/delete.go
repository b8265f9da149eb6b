package raw

import (
	"errors"
	"fmt"
	"strconv"
)

// Delete is a delete as one vgroup logged it.
type Delete struct {
	// Table is named as in the statement: a child table, a normal table, or a
	// super table. Nothing of a statement's tag condition is left.
	Table string
	// SUID is the super table's; 0 for a normal table.
	SUID int64
	// UIDs are those of the tables in this vgroup that rows were deleted from, at
	// the server that logged it. If it is empty, nothing was deleted here and
	// nothing must be deleted elsewhere: From is then open at its end.
	UIDs     []int64
	From, To int64 // of the timestamp, both inclusive, in the database's precision
	Affected int64 // rows
	TSColumn string
}

func (m *Meta) deleteRows(r *reader) {
	d := &Delete{SUID: r.i64()}
	d.UIDs = make([]int64, r.count(int64(r.varint32()), 8))
	for i := range d.UIDs {
		d.UIDs[i] = r.i64()
	}
	d.From, d.To = r.i64(), r.i64()
	d.Affected = r.varint()
	d.Table, d.TSColumn = r.cstr(), r.cstr()
	if r.more() {
		r.i64() // time of the statement, ms
	}
	if r.more() {
		m.Marked = marked(r.u8())
	}
	m.Delete = d
}

// ErrDeleteTooLong is returned for a delete that the writing library would cut
// short, silently deleting a smaller range or failing.
var ErrDeleteTooLong = errors.New("the names are too long for a raw delete")

// deleteBuffer is how long the statement may be that the writing library makes
// of a raw delete.
const deleteBuffer = 255

// Check returns ErrDeleteTooLong if a raw delete with this one's names and range
// would not be carried out as it stands.
func (d *Delete) Check() error {
	n := len("delete from `` where `` >=  and `` <= ")
	n += len(d.Table) + 2*len(d.TSColumn)
	n += len(strconv.FormatInt(d.From, 10)) + len(strconv.FormatInt(d.To, 10))
	if n > deleteBuffer {
		return fmt.Errorf("delete from %s: %w", quoted(d.Table), ErrDeleteTooLong)
	}
	return nil
}

// RewriteDelete builds the payload (core.RawDeleteRows) of the same delete on
// another table: one of the children that Delete.UIDs names, in the place of
// their super table. It deletes exactly that table's rows in the same range.
// The error is ErrDeleteTooLong, or that m deletes nothing.
func RewriteDelete(m Meta, table string) ([]byte, error) {
	if m.Delete == nil {
		return nil, fmt.Errorf("rewrite a delete: %q is none", m.Kind)
	}
	if len(m.Delete.UIDs) == 0 {
		return nil, errors.New("rewrite a delete: it deletes nothing in its vgroup")
	}
	d := *m.Delete
	d.Table = table
	if err := d.Check(); err != nil {
		return nil, err
	}
	return EncodeDelete(d), nil
}

// EncodeDelete builds the payload (core.RawDeleteRows) of a delete. A writer
// uses the table, the timestamp's column and the range; nothing else of d.
func EncodeDelete(d Delete) []byte {
	return withHead(func(dst []byte) []byte {
		dst = appendI64(dst, d.SUID)
		dst = appendVarint(dst, int64(len(d.UIDs)))
		for _, uid := range d.UIDs {
			dst = appendI64(dst, uid)
		}
		dst = appendI64(appendI64(dst, d.From), d.To)
		dst = appendVarint(dst, d.Affected)
		dst = appendCStr(appendCStr(dst, d.Table), d.TSColumn)
		dst = appendI64(dst, 0)
		return append(dst, 0)
	})
}
