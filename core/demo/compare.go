package demo

import (
	"context"
	"fmt"
	"strings"

	"tdreplica/core"
	"tdreplica/core/audit"
	"tdreplica/core/taos"
)

// mostDifferences bounds what an UnequalError tells.
const mostDifferences = 10

// UnequalError tells that the two sides do not hold the same.
type UnequalError struct{ Differences []string }

func (e *UnequalError) Error() string {
	return fmt.Sprintf("the two sides are not equal (%s is called the source, %s the sink):\n  ", siteNames[0], siteNames[1]) +
		strings.Join(e.Differences, "\n  ")
}

// holding is how much a side holds.
type holding struct {
	tables int
	rows   int64
}

// compare verifies that both sides hold the same, value by value, as the command
// does. What each side holds is told also if they differ.
func compare(ctx context.Context, sides [2]*site) (held [2]holding, err error) {
	connector := taos.New(taos.Options{})
	var at [2]audit.Side
	for i, s := range sides {
		if at[i], err = connector.Side(ctx, s.endpoint()); err != nil {
			return held, fmt.Errorf("compare at %s: %w", s.name, err)
		}
		defer at[i].Close()
	}
	var differences []string
	for _, db := range databases {
		for i, s := range sides {
			if err := s.count(db, &held[i]); err != nil {
				return held, err
			}
		}
		d := audit.New(audit.Options{Database: db, Source: at[0], Sink: at[1], Precision: "ms", Exact: true}).Run(ctx)
		switch d.State {
		case core.AuditEqual:
			continue
		case core.AuditDifferent:
		default:
			return held, fmt.Errorf("compare %s: %s %s", db, d.State, d.Note)
		}
		for _, e := range d.Examples {
			differences = append(differences, strings.TrimSpace(fmt.Sprintf("%s.%s %s", db, e.Table, e.Time))+": "+e.Text)
		}
	}
	if len(differences) > 0 {
		return held, &UnequalError{Differences: differences[:min(len(differences), mostDifferences)]}
	}
	return held, nil
}

// count adds what a side holds of a database.
func (s *site) count(db string, h *holding) error {
	tables, err := s.node.Query(fmt.Sprintf("select count(*) from information_schema.ins_tables where db_name = '%s'", db))
	if err != nil {
		return fmt.Errorf("count the tables of %s at %s: %w", db, s.name, err)
	}
	rows, err := s.node.Query(fmt.Sprintf("select count(*) from %s.%s", db, superTable[db]))
	if err != nil {
		return fmt.Errorf("count the rows of %s at %s: %w", db, s.name, err)
	}
	n, _ := tables[0][0].(int64)
	h.tables += int(n)
	n, _ = rows[0][0].(int64)
	h.rows += n
	return nil
}
