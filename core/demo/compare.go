package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// mostDifferences bounds what an UnequalError tells.
const mostDifferences = 10

// UnequalError tells that the two sides do not hold the same.
type UnequalError struct{ Differences []string }

func (e *UnequalError) Error() string {
	return "the two sides are not equal:\n  " + strings.Join(e.Differences, "\n  ")
}

// holding is how much a side holds.
type holding struct {
	tables int
	rows   int64
}

// compare asks both sides for their super tables, tables, tags and rows, and
// compares them one by one. What each side holds is told also if they differ.
func compare(sides [2]*site) (held [2]holding, err error) {
	c := comparison{sides: sides, held: &held}
	for _, db := range databases {
		c.query(db+"."+superTable[db], fmt.Sprintf("describe %s.%s", db, superTable[db]))
		tags := fmt.Sprintf("select table_name, tag_name, tag_value from information_schema.ins_tags where db_name = '%s'", db)
		c.query("the tags of "+db, tags)
		tables := c.query("the tables of "+db, fmt.Sprintf("select table_name from information_schema.ins_tables where db_name = '%s'", db))
		for i, names := range tables {
			c.held[i].tables += len(names)
		}
		for _, name := range tables[0] {
			if !slices.Contains(tables[1], name) {
				continue // the list of tables has told already
			}
			rows := c.query(db+"."+name, fmt.Sprintf("select * from %s.%s order by ts", db, name))
			for i := range rows {
				c.held[i].rows += int64(len(rows[i]))
			}
		}
		if c.err != nil {
			return held, c.err
		}
	}
	if len(c.differences) > 0 {
		return held, &UnequalError{Differences: c.differences}
	}
	return held, nil
}

// comparison collects differences; the first error ends it.
type comparison struct {
	sides       [2]*site
	held        *[2]holding
	differences []string
	err         error
}

// query asks both sides the same, one line of text for each row. What comes
// back in no particular order is ordered here.
func (c *comparison) query(what, sql string) (lines [2][]string) {
	for i, side := range c.sides {
		if c.err != nil {
			return lines
		}
		rows, err := side.node.Query(sql)
		if err != nil {
			c.err = fmt.Errorf("compare %s at %s: %w", what, side.name, err)
			return lines
		}
		lines[i] = make([]string, len(rows))
		for j, row := range rows {
			lines[i][j] = line(row)
		}
		if !strings.Contains(sql, "order by") {
			slices.Sort(lines[i])
		}
	}
	for j := range max(len(lines[0]), len(lines[1])) {
		if a, b := at(lines[0], j), at(lines[1], j); a != b {
			c.differ(fmt.Sprintf("%s, line %d: %s has %s, %s has %s", what, j+1, c.sides[0].name, a, c.sides[1].name, b))
			break // one line of each is enough: the rest is shifted
		}
	}
	return lines
}

func (c *comparison) differ(text string) {
	if len(c.differences) < mostDifferences {
		c.differences = append(c.differences, text)
	}
}

func at(lines []string, i int) string {
	if i >= len(lines) {
		return "nothing more"
	}
	return lines[i]
}

func line(row []any) string {
	cells := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case time.Time:
			cells[i] = v.UTC().Format(time.RFC3339Nano)
		case nil:
			cells[i] = "NULL"
		default:
			cells[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(cells, " | ")
}
