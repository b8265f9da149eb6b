package taos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tdreplica/core"
)

// dropPause is how often a drop is tried while the server still counts a
// consumer that is gone.
const dropPause = 500 * time.Millisecond

// Topic implements engine.Catalog.
func (c *catalog) Topic(ctx context.Context, name string) (*core.Topic, error) {
	rows, err := c.query(ctx, fmt.Sprintf("look for topic %q", name),
		"select * from information_schema.ins_topics where topic_name="+QuoteString(name))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	return &core.Topic{
		Name:     name,
		Database: r.text("db_name"),
		// A topic of a super table or a query can have meta, too.
		WithMeta: r.text("meta") == "yes" && (r.text("type") == "db" || r.text("type") == ""),
	}, nil
}

// EnsureTopic implements engine.Catalog. The server does not compare an existing
// topic with the statement, so it is looked at afterwards.
func (c *catalog) EnsureTopic(ctx context.Context, topic, database string) error {
	op := fmt.Sprintf("create topic %q for database %q", topic, database)
	err := c.exec(ctx, op, fmt.Sprintf("create topic if not exists %s with meta as database %s", QuoteIdent(topic), QuoteIdent(database)))
	if err != nil && core.ClassOf(err) != core.ClassDone {
		return err
	}
	t, err := c.Topic(ctx, topic)
	if err != nil {
		return err
	}
	var text string
	switch {
	case t == nil:
		text = "the server took the statement, but there is no such topic"
	case t.Database != database:
		text = fmt.Sprintf("a topic of this name exists already, of database %q", t.Database)
	case !t.WithMeta:
		text = "a topic of this name exists already, without the changes of schema (with meta)"
	default:
		return nil
	}
	return &core.Error{Class: core.ClassOperator, Op: op + " at " + c.ep.String(), Text: text,
		Hint: "drop that topic if nobody needs it, then restart the task"}
}

// Subscriptions implements engine.Catalog.
func (c *catalog) Subscriptions(ctx context.Context, topic string) ([]core.Subscription, error) {
	op, sql := "list the subscriptions", "select * from information_schema.ins_subscriptions"
	if topic != "" {
		op += fmt.Sprintf(" of topic %q", topic)
		sql += " where topic_name=" + QuoteString(topic)
	}
	rows, err := c.query(ctx, op, sql)
	if err != nil {
		return nil, err
	}
	out := make([]core.Subscription, 0, len(rows))
	for _, r := range rows {
		vgroup, ok := r.number("vgroup_id")
		if !ok {
			continue
		}
		s := core.Subscription{
			Topic:    r.text("topic_name"),
			Group:    r.text("consumer_group"),
			Vgroup:   int32(vgroup),
			Consumer: r.text("consumer_id"),
		}
		s.Position, s.End = parseProgress(r.text("offset"))
		out = append(out, s)
	}
	return out, nil
}

// Consumers implements engine.Catalog.
func (c *catalog) Consumers(ctx context.Context, topic, group string) (map[string]core.Consumer, error) {
	rows, err := c.query(ctx, fmt.Sprintf("list the consumers of topic %q", topic),
		"select * from performance_schema.perf_consumers where consumer_group="+QuoteString(group))
	if err != nil {
		return nil, err
	}
	out := make(map[string]core.Consumer, len(rows))
	for _, r := range rows {
		if r.text("topics") == topic {
			at, _ := r["rebalance_time"].(time.Time)
			out[r.text("consumer_id")] = core.Consumer{Client: r.text("client_id"), Rebalanced: at}
		}
	}
	return out, nil
}

// parseProgress reads `wal:<position>/<end>`. Other forms (earliest/…,
// latest/…, tsdb:…/…, nothing) tell at most the end.
func parseProgress(s string) (position, end int64) {
	position, end = core.Unknown, core.Unknown
	at, last, ok := strings.Cut(s, "/")
	if !ok {
		return position, end
	}
	if n, err := strconv.ParseInt(last, 10, 64); err == nil && n >= 0 {
		end = n
	}
	if version, ok := strings.CutPrefix(at, "wal:"); ok {
		if n, err := strconv.ParseInt(version, 10, 64); err == nil && n >= 0 {
			position = n
		}
	}
	return position, end
}

// DropGroup implements engine.Catalog. While the server still counts a consumer
// of the group it is tried again, for as long as a session lasts.
func (c *catalog) DropGroup(ctx context.Context, topic, group string) error {
	return c.drop(ctx, fmt.Sprintf("drop consumer group %q of topic %q", group, topic),
		fmt.Sprintf("drop consumer group if exists %s on %s", QuoteIdent(group), QuoteIdent(topic)))
}

// DropTopic implements engine.Catalog. While the server still counts a consumer
// of the topic it is tried again, for as long as a session lasts.
func (c *catalog) DropTopic(ctx context.Context, topic string) error {
	return c.drop(ctx, fmt.Sprintf("drop topic %q", topic), "drop topic if exists "+QuoteIdent(topic))
}

func (c *catalog) drop(ctx context.Context, op, statement string) error {
	deadline := time.Now().Add(c.opts.SessionTimeout + 3*time.Second)
	for {
		err := c.exec(ctx, op, statement)
		switch codeOf(err) {
		case codeGroupUnknown, codeTopicUnknown:
			return nil
		case codeTopicInUse, codeGroupInUse:
			if time.Now().After(deadline) {
				return stillInUse(err)
			}
		default:
			return err
		}
		if ctxErr := core.Pause(ctx, dropPause); ctxErr != nil {
			return stillInUse(err)
		}
	}
}

// stillInUse turns the code, which otherwise counts as already done, into what
// it is once waiting has not helped.
func stillInUse(err error) error {
	return &core.Error{Class: core.ClassOperator, Code: codeOf(err), Op: err.(*core.Error).Op, Text: "a consumer still reads it",
		Hint: "stop whatever else reads it, then try again"}
}
