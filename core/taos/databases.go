package taos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tdreplica/core"
)

const codeDatabaseUnknown = 0x0388

// Databases implements engine.Catalog. They come without their CreateSQL, which
// takes a request each.
func (c *catalog) Databases(ctx context.Context) ([]core.Database, error) {
	rows, err := c.query(ctx, "list the databases", "select * from information_schema.ins_databases")
	if err != nil {
		return nil, err
	}
	out := make([]core.Database, 0, len(rows))
	for _, r := range rows {
		out = append(out, databaseOf(r))
	}
	return out, nil
}

// Database implements engine.Catalog.
func (c *catalog) Database(ctx context.Context, name string) (*core.Database, error) {
	rows, err := c.query(ctx, fmt.Sprintf("look for database %q", name),
		"select * from information_schema.ins_databases where name="+QuoteString(name))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	d := databaseOf(rows[0])
	if core.IsSystemDatabase(name) {
		return &d, nil
	}
	rows, err = c.query(ctx, fmt.Sprintf("describe database %q", name), "show create database "+QuoteIdent(name))
	if codeOf(err) == codeDatabaseUnknown {
		return nil, nil // dropped since
	}
	if err != nil {
		return nil, err
	}
	if len(rows) == 1 {
		d.CreateSQL = rows[0].text("Create Database")
	}
	return &d, nil
}

// ClusterID implements engine.Catalog.
func (c *catalog) ClusterID(ctx context.Context) (string, error) {
	op := "ask which cluster it is"
	rows, err := c.query(ctx, op, "select cast(id as varchar(24)) as id from information_schema.ins_cluster")
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || rows[0].text("id") == "" {
		return "", c.ep.nonsense(op, "no id")
	}
	return rows[0].text("id"), nil
}

// Empty implements engine.Catalog.
func (c *catalog) Empty(ctx context.Context, database string) (bool, error) {
	op := fmt.Sprintf("look for tables in database %q", database)
	for _, table := range []string{"ins_stables", "ins_tables"} {
		rows, err := c.query(ctx, op, "select count(*) as n from information_schema."+table+" where db_name="+QuoteString(database))
		if err != nil {
			return false, err
		}
		if len(rows) != 1 {
			return false, c.ep.nonsense(op, "no number")
		}
		if n, ok := rows[0].number("n"); !ok || n > 0 {
			return false, nil
		}
	}
	return true, nil
}

// databaseOf reads a row of ins_databases.
func databaseOf(r row) core.Database {
	d := core.Database{Name: r.text("name"), Precision: r.text("precision")}
	d.CreatedAt, _ = r["create_time"].(time.Time)
	vgroups, _ := r.number("vgroups")
	d.Vgroups = int(vgroups)
	d.WALPeriodS, _ = r.number("wal_retention_period")
	return d
}

// cloned are the options that a copy of a database takes over. Left out is what
// belongs to the cluster rather than to the data: the number of replicas,
// encryption keys, shared storage, compaction.
var cloned = map[string]bool{
	"BUFFER": true, "CACHEMODEL": true, "CACHESIZE": true, "COMP": true, "DURATION": true, "KEEP": true,
	"KEEP_TIME_OFFSET": true, "MAXROWS": true, "MINROWS": true, "PAGES": true, "PAGESIZE": true,
	"PRECISION": true, "SINGLE_STABLE": true, "STT_TRIGGER": true, "TABLE_PREFIX": true, "TABLE_SUFFIX": true,
	"TSDB_PAGESIZE": true, "VGROUPS": true, "WAL_FSYNC_PERIOD": true, "WAL_LEVEL": true,
	"WAL_RETENTION_PERIOD": true, "WAL_RETENTION_SIZE": true,
}

// essential are the options without which a copy would behave differently. They
// are known to every version.
var essential = map[string]bool{
	"PRECISION": true, "KEEP": true, "WAL_RETENTION_PERIOD": true, "WAL_RETENTION_SIZE": true,
}

// CreateDatabaseLike implements engine.Catalog. What this server does not know
// of the other one's options is left out; precision, keep and WAL retention are
// always taken over.
func (c *catalog) CreateDatabaseLike(ctx context.Context, like core.Database) error {
	options, err := databaseOptions(like.CreateSQL)
	if err != nil {
		return &core.Error{Class: core.ClassOperator, Op: fmt.Sprintf("create database %q at %s", like.Name, c.ep), Text: err.Error()}
	}
	op := fmt.Sprintf("create database %q", like.Name)
	err = c.exec(ctx, op, createDatabase(like.Name, options, cloned))
	if optionRefused(err) {
		err = c.exec(ctx, op, createDatabase(like.Name, options, essential))
	}
	if err != nil {
		return err
	}
	made, err := c.Database(ctx, like.Name)
	if err != nil {
		return err
	}
	if made == nil || made.Precision != like.Precision {
		return &core.Error{Class: core.ClassOperator, Op: fmt.Sprintf("create database %q at %s", like.Name, c.ep),
			Text: "the database that exists now has another precision than " + like.Precision}
	}
	return nil
}

// optionRefused tells whether fewer options may help: the statement reached the
// server, and it is neither a question of rights nor one of waiting.
func optionRefused(err error) bool {
	switch codeOf(err) {
	case 0, codeAuthFailure, codeNoRights, 0x2644:
		return false
	}
	return !core.ClassOf(err).Retryable()
}

// databaseOption is one option of `show create database`.
type databaseOption struct{ name, value string }

// databaseOptions takes a CREATE DATABASE statement apart. Its name is quoted
// and no option holds a backtick, so the options follow the last one.
func databaseOptions(createSQL string) ([]databaseOption, error) {
	i := strings.LastIndexByte(createSQL, '`')
	if i < 0 {
		return nil, fmt.Errorf("the source does not tell the database's options: %.40q", createSQL)
	}
	words := strings.Fields(createSQL[i+1:])
	if len(words)%2 != 0 {
		return nil, fmt.Errorf("the source's options of the database cannot be read: %.200q", createSQL[i+1:])
	}
	var out []databaseOption
	for ; len(words) > 0; words = words[2:] {
		out = append(out, databaseOption{name: strings.ToUpper(words[0]), value: words[1]})
	}
	return out, nil
}

func createDatabase(name string, options []databaseOption, allowed map[string]bool) string {
	var b strings.Builder
	b.WriteString("create database if not exists " + QuoteIdent(name))
	for _, o := range options {
		if allowed[o.name] {
			b.WriteString(" " + o.name + " " + o.value)
		}
	}
	return b.String()
}

// WALEnds implements engine.Catalog. The numbers come with the data nodes'
// status reports and are seconds old.
func (c *catalog) WALEnds(ctx context.Context, database string) (map[int32]int64, bool, error) {
	sql := "select * from information_schema.ins_vgroups"
	if database != "" {
		sql += " where db_name=" + QuoteString(database)
	}
	rows, err := c.query(ctx, fmt.Sprintf("read the WAL positions of database %q", database), sql)
	if err != nil {
		return nil, false, err
	}
	ends := make(map[int32]int64, len(rows))
	told := false
	for _, r := range rows {
		vgroup, ok := r.number("vgroup_id")
		if !ok {
			continue
		}
		for replica := 1; replica <= 4; replica++ {
			name := fmt.Sprintf("v%d_applied/committed", replica)
			if _, has := r[name]; has {
				told = true
			}
			var applied, committed int64
			if n, _ := fmt.Sscanf(r.text(name), "%d/%d", &applied, &committed); n == 2 {
				ends[int32(vgroup)] = max(ends[int32(vgroup)], committed+1)
			}
		}
	}
	return ends, told, nil
}

// ReleaseWAL implements engine.Catalog. The version from which on a vnode's WAL
// is kept cannot be taken away, but moved: to where the WAL ends now.
func (c *catalog) ReleaseWAL(ctx context.Context, database string) error {
	ends, _, err := c.WALEnds(ctx, database)
	if err != nil {
		return err
	}
	for vgroup, end := range ends {
		what := fmt.Sprintf("release the WAL of vgroup %d", vgroup)
		if err := c.exec(ctx, what, fmt.Sprintf("alter vnode %d set keep version %d", vgroup, end)); err != nil {
			return err
		}
	}
	return nil
}
