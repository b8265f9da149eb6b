package engine

import (
	"context"

	"tdreplica/core"
)

type fakeCatalog struct {
	w *world
	s *server
}

func (c *fakeCatalog) Versions() core.Versions { return c.s.versions }
func (c *fakeCatalog) Close() error            { return nil }

func (c *fakeCatalog) Databases(context.Context) ([]core.Database, error) {
	if err := c.w.ask("databases"); err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	var out []core.Database
	for _, db := range c.s.dbs {
		out = append(out, db.Database)
	}
	return out, nil
}

func (c *fakeCatalog) Database(_ context.Context, name string) (*core.Database, error) {
	if err := c.w.ask("database"); err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if db := c.s.dbs[name]; db != nil {
		d := db.Database
		return &d, nil
	}
	return nil, nil
}

func (c *fakeCatalog) CreateDatabaseLike(_ context.Context, like core.Database) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.s.create(like.Name).Precision = like.Precision
	return nil
}

func (c *fakeCatalog) EnsureTopic(_ context.Context, topic, db string) error {
	if err := c.w.ask("topic"); err != nil {
		return err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.s.topics[topic] = db
	return nil
}

func (c *fakeCatalog) Topic(_ context.Context, name string) (*core.Topic, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if db, ok := c.s.topics[name]; ok {
		return &core.Topic{Name: name, Database: db, WithMeta: true}, nil
	}
	return nil, nil
}

func (c *fakeCatalog) Subscriptions(_ context.Context, topic string) ([]core.Subscription, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	var out []core.Subscription
	for name, db := range c.s.topics {
		if topic != "" && topic != name {
			continue
		}
		for group := range c.s.offsets {
			for vg := range c.s.dbs[db].wal {
				sub := core.Subscription{Topic: name, Group: group, Vgroup: vg}
				if c.s.owner[group] != nil {
					sub.Consumer = "0x1"
				}
				out = append(out, sub)
			}
		}
	}
	return out, nil
}

func (c *fakeCatalog) WALEnds(_ context.Context, db string) (map[int32]int64, bool, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	out := map[int32]int64{}
	for name, d := range c.s.dbs {
		for vg, v := range d.wal {
			if db == "" || name == db {
				out[vg] = max(out[vg], v.end())
			}
		}
	}
	return out, true, nil
}

func (c *fakeCatalog) Consumers(context.Context, string, string) (map[string]core.Consumer, error) {
	return nil, nil
}
func (c *fakeCatalog) ClusterID(context.Context) (string, error)   { return "1", nil }
func (c *fakeCatalog) Empty(context.Context, string) (bool, error) { return true, nil }
func (c *fakeCatalog) SuperTableIDs(context.Context, string) (map[string]int64, error) {
	return nil, nil
}
func (c *fakeCatalog) CanSubscribe(context.Context, string) error { return c.w.ask("rights") }
func (c *fakeCatalog) CanWrite(context.Context, string) error     { return nil }

func (c *fakeCatalog) DropGroup(_ context.Context, _, group string) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.s.owner[group] != nil {
		c.w.wrong = append(c.w.wrong, "a group was dropped under its consumer")
	}
	delete(c.s.offsets, group)
	return nil
}

func (c *fakeCatalog) DropTopic(_ context.Context, topic string) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	delete(c.s.topics, topic)
	return nil
}

func (c *fakeCatalog) SuperTables(context.Context, string) ([]string, error) { return nil, nil }
func (c *fakeCatalog) Describe(context.Context, string, string) (*core.Table, error) {
	return &core.Table{}, nil
}
func (c *fakeCatalog) TableNames(context.Context, string, []int64) (map[int64]string, error) {
	return nil, nil
}
func (c *fakeCatalog) TableIDs(context.Context, string, []string) (map[string]core.TableID, error) {
	return nil, nil
}
func (c *fakeCatalog) EachTable(context.Context, string, func([]byte, []byte, int64)) error {
	return nil
}
func (c *fakeCatalog) HasRow(context.Context, string, string, string, int64) (bool, error) {
	return true, nil
}
func (c *fakeCatalog) Announce(context.Context, string, string, int64) error { return nil }
func (c *fakeCatalog) CreateStatement(context.Context, string, string) (core.CreateStatement, error) {
	return core.CreateStatement{}, nil
}
func (c *fakeCatalog) CreateTable(context.Context, string, core.CreateStatement) error { return nil }
func (c *fakeCatalog) AddColumn(context.Context, string, string, core.Column) error    { return nil }
func (c *fakeCatalog) WidenColumn(context.Context, string, string, core.Column) error  { return nil }
func (c *fakeCatalog) DropColumn(context.Context, string, string, core.Column) error   { return nil }
func (c *fakeCatalog) RenameTag(context.Context, string, string, string, string) error {
	return nil
}

func (c *fakeCatalog) ReleaseWAL(context.Context, string) error { return c.w.ask("release") }
