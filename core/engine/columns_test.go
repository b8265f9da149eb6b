package engine

import (
	"fmt"
	"testing"
	"time"
)

// TestColumnsAreLookedAtAgain has tables that fitted: for how long that is believed
// depends on how many there are, and ends with any change of schema.
func TestColumnsAreLookedAtAgain(t *testing.T) {
	at := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		tables int
		after  time.Duration
		shape  int64
		want   int
	}{
		"at once":            {tables: 3, want: 3},
		"before a second":    {tables: 3, after: fitFor - 1, want: 3},
		"after a second":     {tables: 3, after: fitFor},
		"a change of schema": {tables: 3, shape: 1},
		"many tables":        {tables: 3 * describedAtOnce, after: 3*fitFor - 1, want: 3 * describedAtOnce},
		"many, later":        {tables: 3 * describedAtOnce, after: 3 * fitFor},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLanding(trusting)
			l.begin(at, 0)
			for i := range c.tables {
				l.good[fit{owner: int32(i + 1), schema: 7}] = true
			}
			l.begin(at.Add(c.after), c.shape)
			if len(l.good) != c.want {
				t.Errorf("%d are still believed, want %d", len(l.good), c.want)
			}
		})
	}
}

// TestOwnersThatAreGoneAreForgotten makes and drops normal tables without end: what is
// remembered of their names stays bounded, and what is known of those that stay is kept.
func TestOwnersThatAreGoneAreForgotten(t *testing.T) {
	l, at := newLanding(trusting), time.Unix(1000, 0)
	know := func(name, owner string) {
		l.known[l.key([]byte(name))] = landed{uid: 1, owner: l.owner(owner)}
	}
	for i := range 500 {
		know(fmt.Sprint("child ", i), "st")
		know(fmt.Sprint("stays ", i), fmt.Sprint("stays ", i))
	}
	for i := range 20 * spareOwners {
		name := fmt.Sprint("gone ", i)
		l.begin(at, 0)
		know(name, name)
		l.doubt(name)
		if len(l.owners) > 3*spareOwners || len(l.numbers) != len(l.owners)-1 {
			t.Fatalf("%d owners are remembered, %d by name", len(l.owners), len(l.numbers))
		}
	}
	for i := range 500 {
		child, _ := l.table(fmt.Sprint("child ", i))
		plain, _ := l.table(fmt.Sprint("stays ", i))
		if l.owners[child.owner] != "st" || l.owners[plain.owner] != fmt.Sprint("stays ", i) {
			t.Fatalf("%d: %q and %q own them", i, l.owners[child.owner], l.owners[plain.owner])
		}
	}
	if gone, known := l.table("gone 0"); !known || gone.owner != 0 {
		t.Errorf("a table that is gone has owner %d", gone.owner)
	}
}
