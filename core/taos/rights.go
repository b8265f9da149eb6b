package taos

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tdreplica/core"
)

// CanSubscribe implements engine.Catalog: reading a database through a topic
// needs the right to read it.
func (c *catalog) CanSubscribe(ctx context.Context, database string) error {
	return c.hasRight(ctx, database, "read")
}

// CanWrite implements engine.Catalog.
func (c *catalog) CanWrite(ctx context.Context, database string) error {
	return c.hasRight(ctx, database, "write")
}

// hasRight looks the user's privileges up without trying anything out. It says
// no only if it is sure: where the server lists no privileges in the known form
// (3.4 has roles), or does not enforce them (the open-source edition), what
// follows will tell.
func (c *catalog) hasRight(ctx context.Context, database, right string) error {
	op := fmt.Sprintf("check the right to %s database %q", right, database)
	user, err := c.user(ctx, op)
	if err != nil || user == defaultUser {
		return err
	}
	rows, err := c.query(ctx, op, "select * from information_schema.ins_user_privileges where user_name="+QuoteString(user))
	if err != nil {
		if core.ClassOf(err).Retryable() {
			return err
		}
		return nil
	}
	granted := slices.ContainsFunc(rows, func(r row) bool {
		db, privilege := r.text("db_name"), r.text("privilege")
		return (db == "all" || db == "*" || db == database) && (privilege == "all" || strings.EqualFold(privilege, right))
	})
	if granted || !c.enforcesRights(ctx, user) {
		return nil
	}
	return &core.Error{
		Class: core.ClassOperator,
		Op:    op + " at " + c.ep.String(),
		Text:  fmt.Sprintf("the user %s has no right to %s it", user, right),
		Hint:  fmt.Sprintf("grant %s on %s.* to %s", right, QuoteIdent(database), user),
	}
}

// user is the name that is logged in; behind a token the server knows it.
func (c *catalog) user(ctx context.Context, op string) (string, error) {
	if c.ep.cred.token == "" {
		return c.ep.cred.user, nil
	}
	rows, err := c.query(ctx, op, "select current_user()")
	if err != nil || len(rows) != 1 {
		return "", err
	}
	name, _, _ := strings.Cut(rows[0].text("current_user()"), "@")
	return name, nil
}

// enforcesRights tells whether a missing privilege means anything: not for a
// super user, not on the open-source edition, and not from 3.4 on, which has
// another system of rights.
func (c *catalog) enforcesRights(ctx context.Context, user string) bool {
	if v, err := core.ParseVersion(c.versions.Server); err != nil || v.AtLeast(core.Version{3, 4, 0, 0}) {
		return false
	}
	op := "read the server's edition"
	users, err := c.query(ctx, op, "select * from information_schema.ins_users where name="+QuoteString(user))
	if err == nil && len(users) == 1 {
		if super, ok := users[0].number("super"); ok && super == 1 {
			return false
		}
	}
	grants, err := c.query(ctx, op, "show grants")
	if err != nil || len(grants) != 1 {
		return false
	}
	edition := strings.ToLower(grants[0].text("version"))
	return !strings.Contains(edition, "oss") && !strings.Contains(edition, "community")
}
