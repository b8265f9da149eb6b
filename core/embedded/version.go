package embedded

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a TDengine version such as 3.3.7.5.
type version [4]int

func parseVersion(s string) (version, error) {
	var v version
	parts := strings.Split(s, ".")
	if len(parts) != len(v) {
		return v, fmt.Errorf("parse version %q: want four numbers with dots between them", s)
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, fmt.Errorf("parse version %q: %q is not a number", s, p)
		}
		v[i] = n
	}
	return v, nil
}

// has reports whether v is at least a.b.c.d.
func (v version) has(a, b, c, d int) bool {
	w := version{a, b, c, d}
	for i := range v {
		if v[i] != w[i] {
			return v[i] > w[i]
		}
	}
	return true
}

// The versions since which something is as it is.

func (v version) handsOutBlocks() bool { return v.has(3, 3, 0, 7) } // of a result, by the frame that asks for them
func (v version) fetchRawData() bool   { return v.has(3, 3, 2, 0) } // older adapters do not know the action
func (v version) excludes() bool       { return v.has(3, 3, 2, 3) } // older adapters drop the field in silence
func (v version) surfacesErrors() bool { return v.has(3, 3, 6, 0) } // poll errors, message_id replay, the config map
func (v version) batchesMeta() bool    { return v.has(3, 3, 6, 0) } // older servers send metas singly whatever is asked
func (v version) newLayout() bool      { return v.has(3, 3, 6, 0) } // of metas: type modifiers, uid in drop table
func (v version) forces() bool         { return v.has(3, 3, 6, 0) } // drop topic and drop consumer group by force; a syntax error before
func (v version) checksums() bool      { return v.has(3, 3, 6, 0) } // the function crc32; 3.3.3 has none
func (v version) decimals() bool       { return v.has(3, 3, 6, 0) }
func (v version) tellsComposite() bool { return v.has(3, 3, 6, 0) } // COMPOSITE KEY; 3.3.3 says PRIMARY KEY and knows no other
func (v version) blobs() bool          { return v.has(3, 3, 7, 0) }
func (v version) tellsWALEnds() bool   { return v.has(3, 3, 6, 0) }  // v1_applied/committed in ins_vgroups
func (v version) misleads() bool       { return !v.has(3, 3, 4, 0) } // raw rows may go to a table that came before, see mislead
func (v version) commitsItself() bool  { return !v.has(3, 3, 4, 8) } // the library commits every 5 s, whatever it was told
func (v version) recalls() bool        { return v.has(3, 3, 4, 0) }  // the library keeps what it knows of tables by connection
func (v version) keepsTables() bool    { return v.has(3, 3, 4, 0) }  // raw rows may go to another database's table
func (v version) losesRows() bool      { return v.has(3, 3, 7, 0) }  // or to a table or column that is gone
func (v version) silencesTagged() bool { return v.has(3, 3, 5, 0) }  // a table whose tag was set leaves every subscription
func (v version) keepsWAL() bool { // the keep version of a vnode; 3.3.7.5 has none, though its number is above
	return v.has(3, 3, 6, 31) && !v.has(3, 3, 7, 0) || v.has(3, 4, 0, 0)
}
func (v version) namesOptions() bool { // that are not known; other adapters hand on the library's -2
	return v.has(3, 3, 6, 27) && !v.has(3, 3, 7, 0) || v.has(3, 3, 8, 0)
}
func (v version) skipsMissing() bool { return v.has(3, 4, 0, 0) } // raw rows of missing tables are dropped in silence
