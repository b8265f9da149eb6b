package engine

import (
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
