package core

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a TDengine version: 3.3.7.5. Missing parts are 0, and what follows
// the numbers (".alpha") does not count.
type Version [4]int

// The oldest versions that can be used.
var (
	// MinServer is the oldest server that is talked to at all.
	MinServer = Version{3, 3, 0, 0}
	// MinTwoWay is the oldest adapter that can leave out what replication
	// wrote. Older ones drop the request for it silently, and a database that
	// is replicated in both directions would loop.
	MinTwoWay = Version{3, 3, 2, 3}
	// MinCompare is the oldest adapter that hands out rows as they are stored.
	// Without that two sides cannot be compared, nor repaired.
	MinCompare = Version{3, 3, 0, 7}
)

// ParseVersion reads the numbers at the start of a version text.
func ParseVersion(s string) (Version, error) {
	var v Version
	parts := strings.Split(strings.TrimSpace(s), ".")
	for i := 0; i < len(v) && i < len(parts); i++ {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			if i >= 2 {
				break // 3.3.alpha and the like
			}
			return Version{}, fmt.Errorf("%q is not a version", s)
		}
		v[i] = n
	}
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("%q is not a version", s)
	}
	return v, nil
}

// Compare is negative, zero or positive as v is older than, equal to or newer
// than o.
func (v Version) Compare(o Version) int {
	for i := range v {
		if v[i] != o[i] {
			return v[i] - o[i]
		}
	}
	return 0
}

// AtLeast reports whether v is o or newer.
func (v Version) AtLeast(o Version) bool { return v.Compare(o) >= 0 }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], v[2], v[3]) }

// CanExclude reports whether a source of these versions leaves out, on
// request, what replication wrote. taosAdapter does not tell its own version,
// only that of the client library it has loaded; both ship together, so
// that one decides. An unreadable version counts as too old.
func (v Versions) CanExclude() bool {
	adapter, err := ParseVersion(v.Adapter)
	if err != nil {
		return false
	}
	server, err := ParseVersion(v.Server)
	return err == nil && adapter.AtLeast(MinTwoWay) && server.AtLeast(MinServer)
}

// CheckCompare returns nil if the rows of an endpoint of these versions can be
// compared with another's, and an error of class operator otherwise.
func (v Versions) CheckCompare(address string) error {
	if adapter, err := ParseVersion(v.Adapter); err == nil && adapter.AtLeast(MinCompare) {
		return nil
	}
	return &Error{
		Class: ClassOperator,
		Op:    "verify and repair at " + address,
		Text:  fmt.Sprintf("its taosAdapter is %s, and before %s it does not hand out rows as they are stored", v.Adapter, MinCompare),
		Hint:  "upgrade TDengine there, with its taosAdapter; replication works without",
	}
}

// CheckTwoWay returns nil if an endpoint of these versions may be the source of
// a database that is replicated in both directions, and an error of class
// operator otherwise.
func (v Versions) CheckTwoWay(address string) error {
	if v.CanExclude() {
		return nil
	}
	return &Error{
		Class: ClassOperator,
		Op:    "prepare two-way replication from " + address,
		Text:  fmt.Sprintf("its taosAdapter is %s, and before %s changes that came by replication cannot be told from others: they would go round for ever", v.Adapter, MinTwoWay),
		Hint:  "upgrade TDengine there, with its taosAdapter, or replicate in one direction only",
	}
}
